"""Streams of gRPC by hand, several on a connection: what a thousand hosts send takes little of the machine measured.

A client of grpc takes several times as long for a message as it takes to put its frames together, which the hosts of
writers spend, not those of the services. The bytes are those that any client sends (RFC 9113, and gRPC over HTTP/2).
"""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME: Final = struct.Struct(">HBBBI")
_SETTING: Final = struct.Struct(">HI")
_WINDOW: Final = struct.Struct(">I")
_MESSAGE: Final = struct.Struct(">BI")
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_INITIAL_WINDOW_SIZE = 4
_FIRST_WINDOW: Final = 65_535
_WIDE_WINDOW: Final = 1 << 30
"""More than a benchmark receives, so that it has nothing to say of windows."""
_MAX_FRAME: Final = 16_384
_STATIC_NAMES: Final = {":path": 4, ":authority": 1, "content-type": 31, "te": 0}
_POST, _HTTP = b"\x83", b"\x86"


class StreamEnded(Exception):
    """A stream ended, or its connection."""


class LightStream:
    """A call of a method that takes and returns streams. Not for several tasks at once."""

    def __init__(self, connection: "LightConnection", identifier: int) -> None:
        self.identifier = identifier
        self.window = connection.initial_window
        self._connection = connection
        self._received = bytearray()
        self._messages: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._ended = False

    def write(self, message: bytes) -> None:
        """Sends a message, as soon as the other side has room for it."""
        self._connection.send(self, _MESSAGE.pack(0, len(message)) + message)

    async def read(self) -> bytes:
        """The next message; raises StreamEnded when there will be none."""
        while not self._messages:
            if self._ended:
                raise StreamEnded
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    def take(self, data: bytes) -> None:
        """Takes in a part of what is sent."""
        received = self._received
        received += data
        while len(received) >= _MESSAGE.size:
            _, length = _MESSAGE.unpack_from(received)
            if len(received) < _MESSAGE.size + length:
                break
            self._messages.append(bytes(received[_MESSAGE.size : _MESSAGE.size + length]))
            del received[: _MESSAGE.size + length]
        self._news.set()

    def end(self) -> None:
        """Says that nothing more will come."""
        self._ended = True
        self._news.set()


class LightConnection(asyncio.Protocol):
    """A connection that calls one method again and again."""

    def __init__(self, authority: str, method: str) -> None:
        self._headers = (
            _POST
            + _HTTP
            + b"".join(
                _literal(name, value)
                for name, value in (
                    (":path", method),
                    (":authority", authority),
                    ("content-type", "application/grpc"),
                    ("te", "trailers"),
                )
            )
        )
        self.initial_window = _FIRST_WINDOW
        self._window = _FIRST_WINDOW
        self._streams: dict[int, LightStream] = {}
        self._waiting: deque[tuple[LightStream, bytes]] = deque()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins with what the protocol begins with."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        settings = _frame(_SETTINGS, 0, 0, _SETTING.pack(_INITIAL_WINDOW_SIZE, _WIDE_WINDOW))
        transport.write(_PREFACE + settings + _frame(_WINDOW_UPDATE, 0, 0, _WINDOW.pack(_WIDE_WINDOW)))

    def open(self) -> LightStream:
        """Begins a call."""
        stream = LightStream(self, 2 * len(self._streams) + 1)
        self._streams[stream.identifier] = stream
        self._transport.write(_frame(_HEADERS, _END_HEADERS, stream.identifier, self._headers))
        return stream

    def close(self) -> None:
        """Ends all calls."""
        self._transport.abort()

    def send(self, stream: LightStream, data: bytes) -> None:
        """Sends data of a stream after what waits already."""
        self._waiting.append((stream, data))
        self._flush()

    def _flush(self) -> None:
        frames: list[bytes] = []
        while self._waiting:
            stream, data = self._waiting[0]
            room = min(self._window, stream.window, _MAX_FRAME)
            if room <= 0:
                break
            part = data[:room]
            self._window -= len(part)
            stream.window -= len(part)
            frames.append(_frame(_DATA, 0, stream.identifier, part))
            if len(part) == len(data):
                self._waiting.popleft()
            else:
                self._waiting[0] = stream, data[room:]
        if frames:
            self._transport.write(b"".join(frames))

    def data_received(self, data: bytes) -> None:
        """Takes frames."""
        for kind, flags, identifier, payload in self._frames(data):
            if kind == _DATA:
                self._streams[identifier].take(payload)
            elif kind == _SETTINGS and not flags & _ACK:
                self._settle(payload)
            elif kind == _PING and not flags & _ACK:
                self._transport.write(_frame(_PING, _ACK, 0, payload))
            elif kind == _WINDOW_UPDATE:
                self._widen(identifier, _WINDOW.unpack(payload)[0])
            elif kind == _GOAWAY:
                self.connection_lost(None)
            if kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                self._streams[identifier].end()

    def _frames(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._received + data if self._received else data
        begin, size = 0, len(data)
        while size - begin >= _FRAME.size:
            high, low, kind, flags, identifier = _FRAME.unpack_from(data, begin)
            end = begin + _FRAME.size + (high << 8 | low)
            if end > size:
                break
            yield kind, flags, identifier, data[begin + _FRAME.size : end]
            begin = end
        self._received = data[begin:]

    def _settle(self, payload: bytes) -> None:
        for name, value in _SETTING.iter_unpack(payload):
            if name == _INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self.initial_window
                self.initial_window = value
        self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        self._flush()

    def _widen(self, identifier: int, size: int) -> None:
        if identifier:
            self._streams[identifier].window += size
        else:
            self._window += size
        self._flush()

    def connection_lost(self, _: Exception | None) -> None:
        """Ends all streams."""
        for stream in self._streams.values():
            stream.end()


@asynccontextmanager
async def light_connection(address: str, method: str) -> AsyncIterator[LightConnection]:
    """A connection to a server that calls `method`: `/package.Service/Method`."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    _, light = await loop.create_connection(lambda: LightConnection(address, method), host, int(port))
    try:
        yield light
    finally:
        light.close()


def _frame(kind: int, flags: int, identifier: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, identifier) + payload


def _literal(name: str, value: str) -> bytes:
    """A header that no table remembers; its name is one of those that all know, or is said."""
    index = _STATIC_NAMES[name]
    known = bytes((index,)) if index < 15 else bytes((15, index - 15))
    said = b"" if index else bytes((len(name),)) + name.encode()
    return known + said + bytes((len(value),)) + value.encode()
