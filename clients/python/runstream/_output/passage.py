"""Passes on what other processes still print where nobody records it any more."""

import contextlib
import os
import select
import threading

from runstream._channel.threads import start_thread
from runstream._output.descriptors import Command, close
from runstream._output.tee import READ_BYTES, write_all


class Passage:
    """The way that the text of programs takes which this process started: as long as somebody reads it they live.

    A thread reads it until none of them can print any more, or until a tee does so.
    """

    def __init__(self, reading: int, target: int) -> None:
        """Takes over both descriptors."""
        self._reading = reading
        self._target: int = target
        self._lock = threading.Lock()
        os.set_blocking(reading, False)
        start_thread(threading.Thread(target=self._run, name="runstream-passage", daemon=True))

    @property
    def is_open(self) -> bool:
        """Whether anybody may print."""
        return self._reading >= 0

    def announce(self, command: Command) -> None:
        """Has the tee read as well: it lives on when this process has ended."""
        with self._lock:
            if self.is_open:
                command("listen", [self._reading, self._target], chain=[os.getpid()])

    def leave_parent(self) -> None:
        """In a forked process: the parent reads."""
        self._lock = threading.Lock()
        self._close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        while self._pass_on():
            poll.poll()
        with self._lock:
            self._close()

    def _pass_on(self) -> bool:
        """Passes on what is there; false: nothing more will come."""
        try:
            data = os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:  # a terminal that nobody has open any more
            return False
        with contextlib.suppress(OSError):
            write_all(self._target, data)
        return bool(data)

    def _close(self) -> None:
        close(self._reading)
        close(self._target)
        self._reading = self._target = -1


def has_writers(reading: int) -> bool:
    """Whether anybody has the other end of a pipe or terminal open."""
    poll = select.poll()
    poll.register(reading, 0)
    return not any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
