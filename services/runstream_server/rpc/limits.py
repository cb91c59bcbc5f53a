"""How many calls of a class a process takes. Streams that last for days must not use up the room for short calls."""

from runstream_server.errors import TooManyCalls


class CallLimit:
    """Counts the open calls of one class: `unary`, `append` or `tail`."""

    def __init__(self, call_class: str, limit: int) -> None:
        self._call_class = call_class
        self._limit = limit
        self._open = 0

    def enter(self) -> None:
        """Takes room for one call, until `leave`; raises TooManyCalls when there is none."""
        if self._open >= self._limit:
            raise TooManyCalls(self._call_class, self._limit)
        self._open += 1

    def leave(self) -> None:
        """Gives the room of one call back."""
        self._open -= 1
