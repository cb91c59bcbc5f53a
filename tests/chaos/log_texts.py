"""Writers and readers of logs, whose text follows from a seed."""

import random
from dataclasses import dataclass, field
from itertools import accumulate

import grpc

from runstream._channel.options import channel_options
from runstream._uplink.append import AppendStream, Piece
from runstream.api.logs.v1 import log_service_pb2 as messages
from tests import stubs
from tests.chaos.pace import Pace

MOST_BYTES = 3_000
_KINDS = (b"\n", b"\r 40%|####      |", b"\x00\xff\xfe", b"step 12 loss=0.25\n", b"\x1b[0m", b"x" * 700)


def path_of(writer: int) -> str:
    """The log of a writer."""
    return f"user_logs/std_log_process_{writer}.txt"


def pieces_of(seed: int, writer: int, count: int) -> list[bytes]:
    """What a writer says, piece by piece."""
    choice = random.Random(f"{seed} {writer}")
    return [_piece(choice, number) for number in range(count)]


def _piece(choice: random.Random, number: int) -> bytes:
    size = choice.randint(1, MOST_BYTES)
    text = b"%d " % number
    while len(text) < size:
        text += choice.choice(_KINDS)
    return text


class TextSource:
    """The text of one writer. What the server has acknowledged once it may never miss again."""

    def __init__(self, run: str, seed: int, writer: int, pace: Pace) -> None:
        self._run = run
        self._writer = writer
        self._pace = pace
        self._pieces = pieces_of(seed, writer, pace.batches)
        self._text = b"".join(self._pieces)
        self._ends = list(accumulate(map(len, self._pieces)))
        self._durable = 0
        self._next = 0

    def open(self) -> messages.WriteLogRequest:
        """The first message."""
        opened = messages.OpenLog(
            run=self._run, path=path_of(self._writer), writer=f"writer-{self._writer}", durable_offset=self._durable
        )
        return messages.WriteLogRequest(open=opened)

    def opened(self, opened: messages.LogOpened) -> None:
        """Goes on behind what the server has."""
        self._note(opened.durable_offset)
        self._next = sum(end <= self._durable for end in self._ends)

    @property
    def is_full(self) -> bool:
        """Always: a piece has its size, and many are to be under way."""
        return True

    async def next(self) -> Piece[messages.WriteLogRequest] | None:
        """The next piece."""
        if self._next == len(self._pieces):
            return None
        await self._pace.may_send(self._next + 1)
        data, end = self._pieces[self._next], self._ends[self._next]
        self._next += 1
        chunk = messages.LogChunk(offset=end - len(data), data=data)
        return Piece(messages.WriteLogRequest(chunk=chunk), end, len(data))

    def acknowledged(self, acknowledged: messages.LogAcknowledged) -> int:
        """Notes what became durable."""
        self._note(acknowledged.durable_offset)
        return acknowledged.durable_offset

    def finish(self) -> messages.WriteLogRequest:
        """The last message."""
        return messages.WriteLogRequest(finish=messages.FinishLog())

    def _note(self, durable: int) -> None:
        assert self._durable <= durable <= len(self._text), f"{durable} is durable after {self._durable} was"
        self._durable = durable
        self._pace.acknowledge(self._writer, sum(end <= durable for end in self._ends))


async def write_text(address: str, run: str, seed: int, writer: int, pace: Pace) -> None:
    """Sends the text of one writer over a channel of its own; returns when all of it is acknowledged."""
    source = TextSource(run, seed, writer, pace)
    async with grpc.aio.insecure_channel(address, options=channel_options(address)) as channel:
        await AppendStream(stubs.logs(channel).WriteLog, source, channel).run()


@dataclass
class TextReader:
    """Follows one log, and goes on from its cursor when it is cut off."""

    run: str
    path: str
    text: bytearray = field(default_factory=bytearray)
    cursor: str = ""
    cuts: int = 0

    async def follow(self, address: str, choice: random.Random, cuts: int, most_messages: int) -> None:
        """Reads to the end; breaks off so many times by itself, after up to so many messages."""
        async with grpc.aio.insecure_channel(address, options=channel_options(address)) as channel:
            ended = False
            while not ended:
                messages_ = choice.randrange(1, most_messages) if self.cuts < cuts else None
                ended = await self._read(channel, messages_)
                self.cuts += 1

    async def _read(self, channel: grpc.aio.Channel, left: int | None) -> bool:
        request = messages.TailLogRequest(run=self.run, path=self.path, cursor=self.cursor)
        call = stubs.logs(channel).TailLog(request)
        try:
            async for message in call:
                assert message.offset == len(self.text), f"after {len(self.text)} came {message.offset}"
                self.text.extend(message.data)
                self.cursor = message.cursor
                if message.ended:
                    return True
                left = left and left - 1
                if left == 0:
                    return False
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await channel.channel_ready()
        finally:
            call.cancel()
        return False
