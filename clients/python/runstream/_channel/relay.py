"""Carries the calls of a forked process: `python -m runstream._channel.relay host:port`, with a socket as its input.

gRPC cannot be used in a process that was forked from one that used it. This is a fresh process, which can.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable
from typing import Any

import grpc

from runstream._channel import connection, frames
from runstream._channel.authorized import open_channel
from runstream._channel.errors import CallFailed
from runstream._channel.frames import Frame
from runstream._channel.tasks import end_tasks

STATUS_KEY = "grpc-status-details-bin"


class Relay:
    """The calls that are under way."""

    def __init__(self, channel: Any, address: str, writer: asyncio.StreamWriter) -> None:
        self._channel = channel
        self._address = address
        self._writer = writer
        self._writing = asyncio.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, Any] = {}

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Serves until the other side is gone, then cancels what is under way."""
        try:
            while (frame := await frames.read_frame(reader)) is not None:
                self._begin(frame)
        finally:
            answering = list(self._tasks.values())
            for number in list(self._streams):
                self._cancel(number)
            await end_tasks(*answering)

    def _begin(self, frame: Frame) -> None:
        if frame.kind == frames.CANCEL:
            self._cancel(frame.call)
        elif frame.kind == frames.OPEN:
            call = self._channel.unary_stream(frame.method)(frame.body, timeout=frame.timeout)
            self._streams[frame.call] = call
        else:
            task = asyncio.create_task(self._answer(frame), name=f"relay-{frame.kind}")
            self._tasks[frame.call] = task
            task.add_done_callback(lambda _: self._tasks.pop(frame.call, None))

    def _cancel(self, number: int) -> None:
        for under_way in (self._tasks.pop(number, None), self._streams.pop(number, None)):
            if under_way is not None:
                under_way.cancel()

    async def _answer(self, frame: Frame) -> None:
        answer = await self._outcome(frame)
        if answer.kind == frames.END:
            self._streams.pop(frame.call, None)
        async with self._writing:
            self._writer.write(frames.encode(answer))
            await self._writer.drain()

    async def _outcome(self, frame: Frame) -> Frame:
        try:
            if frame.kind == frames.REACH:
                await connection.await_ready(self._channel, self._address)
                return Frame(frames.END, frame.call, code=frames.OK)
            body = await self._message(frame)
        except grpc.aio.AioRpcError as error:
            return _end(frame.call, error)
        except CallFailed as error:
            failure = error.failure
            return Frame(frames.END, frame.call, code=failure.code, details=failure.message)
        if body is None:
            return Frame(frames.END, frame.call, code=frames.OK)
        return Frame(frames.MESSAGE, frame.call, body=body)

    async def _message(self, frame: Frame) -> bytes | None:
        if frame.kind == frames.CALL:
            unary: Awaitable[bytes] = self._channel.unary_unary(frame.method)(frame.body, timeout=frame.timeout)
            return await unary
        message = await self._streams[frame.call].read()
        return None if message is grpc.aio.EOF else message


def _end(number: int, error: grpc.aio.AioRpcError) -> Frame:
    metadata: Any = error.trailing_metadata()
    status = dict(metadata or ()).get(STATUS_KEY, b"")
    return Frame(frames.END, number, code=error.code().name, details=error.details() or "", body=status)


async def main(address: str, caller: socket.socket) -> None:
    """Relays the calls of `caller` to the services at `address` until it is gone."""
    reader, writer = await asyncio.open_connection(sock=caller)
    channel = open_channel(address)
    try:
        await Relay(channel, address, writer).serve(reader)
    finally:
        writer.close()
        await channel.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], socket.socket(fileno=0)))
