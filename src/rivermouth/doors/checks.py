"""What `/ready` asks of the parts of this server."""

from rivermouth.doors.ops import Check
from rivermouth.engine.runs import Runs
from rivermouth.errors import Unavailable
from rivermouth.stores.event_log import Log
from rivermouth.stores.redis_log import RedisBackend
from rivermouth.stores.sql_rows import SqlRows


def rows_check(rows: SqlRows) -> Check:
    """Whether the database answers."""

    async def check() -> str:
        await rows.probe()
        return rows.name

    return check


def log_check(log: Log, redis: RedisBackend | None) -> Check:
    """Whether events can be committed. redis: what keeps them, where that is not a file."""

    async def check() -> str:
        log.raise_if_failed()
        if redis is not None:
            await redis.probe()
        return f"{'SQLite' if redis is None else 'Redis'}, {len(log.live)} live"

    return check


def runs_check(runs: Runs) -> Check:
    """Whether new runs are taken."""

    async def check() -> str:
        if runs.draining:
            raise Unavailable("shutting down")
        waiting = runs.answers.waiting
        return "taking requests" + (f"; {waiting} answers wait to be saved" if waiting else "")

    return check
