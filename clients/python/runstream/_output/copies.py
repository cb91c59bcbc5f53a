"""Streams of Python that print elsewhere than to the system: in a notebook, for example."""

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from runstream._output.descriptors import Command, close, high


class Copied:
    """Such streams: what is printed to them goes to a pipe as well."""

    def __init__(self, streams: Sequence[Any]) -> None:
        self._streams = streams
        self._reading = self._writing = -1
        self._added: list[Echo | Write] = []

    def turn(self) -> None:
        """Lets the streams write to a new pipe as well; in a forked process again.

        Raises:
            OSError: The system has none left.
        """
        self.close()
        reading, writing = os.pipe()
        self._reading, self._writing = high(reading), high(writing)
        os.close(reading)
        os.close(writing)
        if not self._added:
            self._added = [Echo(each, self) if hasattr(each, "echo") else Write(each, self) for each in self._streams]

    def announce(self, command: Command, chain: Sequence[int]) -> None:
        """Tells the tee to read it."""
        command("listen", [self._reading], chain=list(chain))

    def take(self, text: str) -> None:
        """Copies what is printed; a print never fails because of its copy."""
        if self._writing < 0:
            return
        with contextlib.suppress(Exception):
            view = memoryview(text.encode("utf-8", "backslashreplace"))
            while view:
                view = view[os.write(self._writing, view) :]

    def restore(self) -> None:
        """Leaves the streams as they were, but for what somebody else changed meanwhile."""
        for added in self._added:
            added.remove()
        self._added = []
        close(self._writing)
        self._writing = -1

    def rescue(self) -> None:
        """Does nothing: it was only a copy."""

    def pass_on(self) -> None:
        """Does nothing: no other process prints here."""

    def close(self) -> None:
        """Gives back what is left."""
        close(self._reading)
        close(self._writing)
        self._reading = self._writing = -1


class Echo:
    """Stands in the place of the echo that a stream of a notebook has, and hears all that is printed.

    The method `write` of such a stream is replaced and put back by IPython with each cell.
    """

    def __init__(self, stream: Any, copied: Copied) -> None:
        self._stream = stream
        self._copied = copied
        self._earlier = stream.echo
        stream.echo = self

    def write(self, text: str) -> None:
        """Copies what is printed, and passes it on."""
        self._copied.take(text)
        if self._earlier is not None:
            self._earlier.write(text)

    def flush(self) -> None:
        """Passes it on."""
        if self._earlier is not None:
            self._earlier.flush()

    def remove(self) -> None:
        """Puts the earlier echo back."""
        if self._stream.echo is self:
            self._stream.echo = self._earlier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._earlier, name)


class Write:
    """Stands in the place of the method `write` of a stream, so that who has the stream itself is heard too."""

    def __init__(self, stream: Any, copied: Copied) -> None:
        self._stream = stream
        self._copied = copied
        self._earlier = stream.write
        self._ours = self.write
        stream.write = self._ours

    def write(self, text: str) -> Any:
        """Copies what is printed, and prints it."""
        self._copied.take(text)
        return self._earlier(text)

    def remove(self) -> None:
        """Gives the stream its own method back."""
        if vars(self._stream).get("write") is self._ours:
            del self._stream.write
