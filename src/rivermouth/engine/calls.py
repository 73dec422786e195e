"""A model's tool calls, put together from the pieces in which they come."""

from rivermouth.messages import ToolCall

MOST_CALLS = 16
"""Calls of one answer of a model; more are not heard."""
MOST_ARGUMENTS = 64 * 1024
"""Characters of one call's arguments; what comes after them is not heard, so they are no JSON any more."""
MOST_NAME = 200


class _Pieces:
    """One call in the making."""

    def __init__(self, id: str, name: str) -> None:
        self.id, self.name = id, name
        self._pieces: list[str] = []
        self._size = 0

    def is_other(self, id: str, name: str) -> bool:
        """Whether this id and name are of another call. Some servers give every call the index 0."""
        return bool((id and self.id and id != self.id) or (name and self.name and name != self.name))

    def add(self, id: str, name: str, arguments: str) -> None:
        self.id, self.name = self.id or id, self.name or name
        if self._size <= MOST_ARGUMENTS:
            self._pieces.append(arguments[: MOST_ARGUMENTS + 1])
            self._size += len(arguments)

    @property
    def arguments(self) -> str:
        return "".join(self._pieces)


class Calls:
    """Hears pieces; gives out whole calls, each with an id that no other call of the run has."""

    def __init__(self) -> None:
        self._open: dict[int, _Pieces] = {}
        self._heard: list[_Pieces] = []
        self._ids: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._heard)

    def add(self, index: int, id: str | None, name: str | None, arguments: str) -> None:
        """A piece of the call of that index."""
        id, name = (id or "")[:MOST_NAME], (name or "")[:MOST_NAME]
        call = self._open.get(index)
        if call is None or call.is_other(id, name):
            if len(self._heard) == MOST_CALLS:
                return
            call = self._open[index] = _Pieces(id, name)
            self._heard.append(call)
        call.add(id, name, arguments)

    def take(self) -> list[ToolCall]:
        """What has been heard since the last time, in the order of asking."""
        heard, self._heard, self._open = self._heard, [], {}
        return [ToolCall(self._unique(call.id), call.name, call.arguments or "{}") for call in heard]

    def _unique(self, given: str) -> str:
        """The model's own id, unless there is none, or it had been there before."""
        id, number = given or f"call_{len(self._ids)}", len(self._ids)
        while id in self._ids:
            number += 1
            id = f"{given or 'call'}_{number}"
        self._ids.add(id)
        return id
