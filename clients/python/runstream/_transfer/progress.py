"""Who wants to know how far a transfer is."""

from typing import Protocol


class Meter(Protocol):
    """Told of bytes; from any thread."""

    def expect(self, size: int) -> None:
        """So many more bytes are to be moved."""

    def advance(self, size: int) -> None:
        """So many of them are where they should be; fewer than none: so many were lost and are to be moved again."""


class Silent:
    """A meter that nobody looks at."""

    def expect(self, size: int) -> None:
        """Does nothing."""

    def advance(self, size: int) -> None:
        """Does nothing."""


class Told:
    """Passes to a meter what was moved; what is to be moved was told to it before."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def expect(self, size: int) -> None:
        """Does nothing."""

    def advance(self, size: int) -> None:
        """Hands it on."""
        self._meter.advance(size)


class Moved:
    """Counts for a meter what was moved."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.size = 0

    def expect(self, size: int) -> None:
        """Hands it on."""
        self._meter.expect(size)

    def advance(self, size: int) -> None:
        """Counts it, and hands it on."""
        self.size += size
        self._meter.advance(size)
