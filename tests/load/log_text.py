"""Text as trainings print it, and writers that send it as raw bytes: they cost as little as they can."""

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import grpc

from runstream.api.logs.v1 import log_service_pb2 as messages
from tests.load.discarding import WRITE_LOG

POOL_BYTES = 16 * 1024 * 1024
PATH = "user_logs/std_log.txt"


@cache
def pool() -> bytes:
    """Some MiB of lines, about 100 bytes each, which compress as such lines do."""
    rng = random.Random(11)
    lines = bytearray()
    step = 0
    while len(lines) < POOL_BYTES:
        step += 1
        lines += (
            b"2026-03-%02d %02d:%02d:%02d,%03d INFO trainer: epoch=%d step=%d loss=%.6f lr=%.3e norm=%.4f %d tok/s\n"
            % (
                1 + step % 28,
                rng.randrange(24),
                rng.randrange(60),
                rng.randrange(60),
                rng.randrange(1000),
                step // 1000,
                step,
                rng.random() * 3,
                rng.random() / 1000,
                rng.random() * 5,
                rng.randrange(100_000, 200_000),
            )
        )
    return bytes(lines[:POOL_BYTES])


def chunks(count: int, size: int, seed: int = 0) -> Sequence[bytes]:
    """Serialized chunks that join on from byte 0, each with other lines than the one before."""
    text = pool()
    made = []
    for number in range(count):
        start = (seed * 1_234_567 + number * size) % (len(text) - size)
        chunk = messages.LogChunk(offset=number * size, data=text[start : start + size])
        made.append(messages.WriteLogRequest(chunk=chunk).SerializeToString())
    return made


async def open_log(channel: grpc.aio.Channel, run: str, path: str = PATH) -> Any:
    """Opens a stream and waits for the answer."""
    call: Any = channel.stream_stream(WRITE_LOG, response_deserializer=messages.WriteLogResponse.FromString)()
    opened = messages.OpenLog(run=run, path=path, writer=path.replace("/", "-").replace(".", "-"))
    await call.write(messages.WriteLogRequest(open=opened).SerializeToString())
    await call.read()
    return call


async def acknowledged(call: Any, offset: int) -> None:
    """Waits until everything before an offset is durable."""
    durable = 0
    while durable < offset:
        response = await call.read()
        if response is grpc.aio.EOF:
            raise RuntimeError(f"the stream ended: {await call.code()} {await call.details()}")
        durable = max(durable, response.acknowledged.durable_offset)


async def write_log(
    channel: grpc.aio.Channel, run: str, requests: Sequence[bytes], size_bytes: int, path: str = PATH
) -> None:
    """Sends chunks as fast as the server takes them, until all of it is acknowledged; says that this was all."""
    call = await open_log(channel, run, path)
    for request in requests:
        await call.write(request)
    await acknowledged(call, size_bytes)
    await call.write(messages.WriteLogRequest(finish=messages.FinishLog()).SerializeToString())
    await call.done_writing()
    while await call.read() is not grpc.aio.EOF:
        pass
