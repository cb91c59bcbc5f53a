"""Writes, reads and ends logs the way tests need it."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import log_stream
from tests.conditions import until_answered
from tests.conftest import Backend

PATH = "user_logs/std_log.txt"


async def write_log(
    backend: Backend, run: str, *pieces: bytes, path: str = PATH, writer: str = "writer", finish: bool = False
) -> None:
    """Appends pieces, each in a commit of its own."""
    async with log_stream(backend.channel, run, path, writer) as stream:
        offset = await stream.opened()
        for piece in pieces:
            await stream.send(offset, piece)
            offset += len(piece)
            await stream.acknowledged(offset)
        if finish:
            await stream.finish()
            await stream.half_close()


async def write_whole_log(backend: Backend, run: str, path: str, *pieces: bytes) -> None:
    """Writes a complete log file, by a writer of its own."""
    await write_log(backend, run, *pieces, path=path, writer=re.sub(r"[/.]", "-", path), finish=True)


async def read_parts(
    backend: Backend, run: str, path: str = PATH, **options: Any
) -> Sequence[messages.ReadLogResponse]:
    """What ReadLog answers."""
    request = messages.ReadLogRequest(run=run, path=path, **options)
    return [part async for part in stubs.logs(backend.channel).ReadLog(request)]


async def read_log(backend: Backend, run: str, path: str = PATH, **options: Any) -> bytes:
    """The text that ReadLog answers, whose parts join on."""
    parts = await read_parts(backend, run, path, **options)
    assert all(before.offset + len(before.data) == after.offset for before, after in pairwise(parts))
    return b"".join(part.data for part in parts)


async def search(backend: Backend, **options: Any) -> Sequence[messages.SearchLogsResponse]:
    """What SearchLogs answers."""
    request = messages.SearchLogsRequest(parent="workspaces/space", **options)
    return [each async for each in stubs.logs(backend.channel).SearchLogs(request)]


async def end_run(backend: Backend, run: str) -> None:
    """Completes a run."""
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))


async def logs_sealed(postgres: Postgres) -> None:
    """Waits until no text is left in Postgres."""
    await holds(postgres, "NOT EXISTS (SELECT FROM logs.chunk) AND NOT EXISTS (SELECT FROM logs.seal_task)")


async def holds(postgres: Postgres, condition: str) -> None:
    """Waits until a condition of SQL holds."""
    await until_answered(lambda: postgres.fetchval(f"SELECT {condition}"))
