"""Ending what another process has left: a crash, or a replica whose lease has lapsed."""

import asyncio

from rivermouth.clock import Clock
from rivermouth.engine.answers import Answers
from rivermouth.engine.context import estimate
from rivermouth.engine.playing import INTERRUPTED, Player
from rivermouth.engine.run import Observer
from rivermouth.engine.turn import closing
from rivermouth.errors import Interrupted, RivermouthError, problem_of
from rivermouth.events import RunStarted, Transcribed
from rivermouth.messages import Message
from rivermouth.settings import Settings
from rivermouth.stores import Rows
from rivermouth.stores.run_log import RunLog

GLANCE = 1.0
"""Seconds for which the end of a run waits for a number that it could do without."""


class Recovery:
    """Gives logs that broke off their end."""

    def __init__(
        self, settings: Settings, rows: Rows, clock: Clock, observer: Observer, answers: Answers, player: Player
    ) -> None:
        self._settings, self._rows, self._clock = settings, rows, clock
        self._observer, self._answers, self._player = observer, answers, player

    async def recover(self, log: RunLog) -> None:
        """Save the partial answer and write the log's `RunEnded`, which is committed when this returns; of one that had
        ended, see to it that its answer is saved."""
        if log.ended is not None:
            await self._answers.recover(log)
            return
        self._observer.run_began(log.started)
        prompt = 0 if _waits_for_words(log) else await self._prompt_estimate(log.started)
        for event in closing(log.events, self._clock.now(), estimated_prompt=prompt, model=log.started.model):
            log.append(event)
        await self._player.end(log, "interrupted", problem_of(Interrupted(INTERRUPTED)))
        await log.over()

    async def _prompt_estimate(self, started: RunStarted) -> int:
        """Tokens that the model was given to read, as far as the conversation tells; 0 where it cannot be read at once."""
        try:
            async with asyncio.timeout(GLANCE):
                said = await self._rows.messages((started.owner,), started.dialect, started.conversation)
        except (RivermouthError, TimeoutError):
            return 0
        agent = self._settings.agents.get(started.agent)
        asked = [Message("system", agent.instructions)] if agent is not None and agent.instructions else []
        for message in said[-self._settings.runs.history_messages :]:
            asked.append(Message(message.role, message.text))
            if message.id == started.user_message:
                break
        return estimate(asked)


def _waits_for_words(log: RunLog) -> bool:
    """Whether it is not known yet what is asked, so that no model was."""
    return log.started.awaits_transcript and Transcribed not in map(type, log.events)
