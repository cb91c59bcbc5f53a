"""Starts relays and talks to them."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from runstream._channel import frames
from runstream._channel.errors import CallFailed, CallFailure
from runstream._channel.frames import Frame
from runstream._channel.interpreter import package_environment

RELAY = "runstream._channel.relay"
END_SECONDS = 2.0


class Link:
    """A relay and the socket to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", own: socket.socket, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.is_gone = False
        self._process = process
        self._socket = own
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, address: str, deliver: Callable[[Frame | None], None]) -> "Link":
        """Starts a relay; what it sends goes to `deliver`, and None when it is gone."""
        own, others = socket.socketpair()
        with others:
            process = _launch(address, others)
        _sockets.add(own)
        reader, writer = await asyncio.open_connection(sock=own)
        link = cls(process, own, writer)
        link._reading = asyncio.create_task(link._read(reader, deliver), name="runstream-relay-answers")
        return link

    async def close(self) -> None:
        """Closes the socket, at which the relay ends, and waits for that."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self.writer.close()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(END_SECONDS):
                await self.writer.wait_closed()  # the socket is closed by the loop, which the next wait holds up
        _sockets.discard(self._socket)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def _read(self, reader: asyncio.StreamReader, deliver: Callable[[Frame | None], None]) -> None:
        while (frame := await frames.read_frame(reader)) is not None:
            deliver(frame)
        self.is_gone = True
        self.writer.close()
        deliver(None)


def _launch(address: str, its_end: socket.socket) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", RELAY, address],
            stdin=its_end.fileno(),
            stdout=subprocess.DEVNULL,
            env=package_environment(),
            start_new_session=True,  # Ctrl-C is for the process that calls
        )
    except OSError as error:
        message = f"A forked process needs another one to call the services, which cannot be started: {error}."
        raise CallFailed(CallFailure("UNAVAILABLE", message, "NO_RELAY")) from error


def _leave_parent() -> None:
    """In a child process: the relays are the parent's, and must not live as long as this process."""
    for inherited in _sockets:
        inherited.close()
    _sockets.clear()


_sockets: set[socket.socket] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_parent)
