"""Programs that benchmarks of transfers run: `python -m tests.load.transferring WHAT JSON`; prints what it measured.

Each is a process of its own, so that its memory can be told: `ours_` through the SDK, `straight_` by aiobotocore to the
same bucket with parts of the same size, four at a time. Both have connected before the clock starts, unless the task
says `connecting`: a program that uploads files of its run has talked to the services before.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream._channel.pages import pages
from runstream._snapshot.take import take_snapshot
from runstream._transfer import download, download_listed, upload
from runstream.api.artifacts.v1.artifact_service_pb2 import ListArtifactsRequest
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest

AT_ONCE = 4
MANY_AT_ONCE = 32
PAGE_SIZE = 10_000


async def ours_up(task: dict[str, Any], connection: Connection) -> None:
    """Uploads a file into a run."""
    await upload(connection, task["run"], [(task["name"], Path(task["file"]))])


async def ours_down(task: dict[str, Any], connection: Connection) -> None:
    """Downloads a file of a run."""
    await download(connection, task["run"], task["name"], task["file"])


async def ours_many(task: dict[str, Any], connection: Connection) -> None:
    """Uploads all files of a folder into a run."""
    files: list[tuple[str, Path | bytes]] = [(f"{task['name']}/{file.name}", file) for file in _files(task["folder"])]
    await upload(connection, task["run"], files)


async def ours_many_down(task: dict[str, Any], connection: Connection) -> None:
    """Downloads all files of a folder of a run."""
    request = ListArtifactsRequest(parent=task["run"], prefix=f"{task['name']}/", page_size=PAGE_SIZE)
    listed = pages(connection, connection.artifacts.ListArtifacts, request)
    artifacts = [artifact async for page in listed for artifact in page.artifacts]
    folder = Path(task["folder"])
    files = [(artifact, folder / artifact.path.rpartition("/")[2]) for artifact in artifacts]
    await download_listed(connection, task["run"], files)


async def ours_snapshot(task: dict[str, Any], connection: Connection) -> None:
    """Takes a snapshot of a folder."""
    await take_snapshot(connection, task["run"].partition("/runs/")[0], Path(task["folder"]))


async def straight_up(task: dict[str, Any], s3: Any) -> None:
    """Uploads a file in parts."""
    part, path = task["part_bytes"], Path(task["file"])
    room = asyncio.Semaphore(AT_ONCE)
    async with _opened(path, os.O_RDONLY) as file:
        count = -(-os.fstat(file).st_size // part)
        where = {"Bucket": task["bucket"], "Key": task["name"]}
        begun = await s3.create_multipart_upload(**where)
        where["UploadId"] = begun["UploadId"]

        async def send(number: int) -> dict[str, Any]:
            async with room:
                body = await asyncio.to_thread(os.pread, file, part, (number - 1) * part)
                answer = await s3.upload_part(**where, PartNumber=number, Body=body)
                return {"PartNumber": number, "ETag": answer["ETag"]}

        parts = await asyncio.gather(*(send(number) for number in range(1, count + 1)))
        await s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


async def straight_down(task: dict[str, Any], s3: Any) -> None:
    """Downloads an object in ranges."""
    part, path = task["part_bytes"], Path(task["file"])
    room = asyncio.Semaphore(AT_ONCE)
    async with _opened(path, os.O_RDWR | os.O_CREAT) as file:
        where = {"Bucket": task["bucket"], "Key": task["name"]}
        size = (await s3.head_object(**where))["ContentLength"]

        async def fetch(start: int) -> None:
            async with room:
                answer = await s3.get_object(**where, Range=f"bytes={start}-{min(start + part, size) - 1}")
                async with answer["Body"] as body:
                    await asyncio.to_thread(os.pwrite, file, await body.read(), start)

        await asyncio.gather(*(fetch(start) for start in range(0, size, part)))


async def straight_many(task: dict[str, Any], s3: Any) -> None:
    """Puts each file of a folder, 32 at a time."""
    room = asyncio.Semaphore(MANY_AT_ONCE)

    async def put(file: Path) -> None:
        async with room:
            body = await asyncio.to_thread(file.read_bytes)
            await s3.put_object(Bucket=task["bucket"], Key=f"{task['name']}/{file.name}", Body=body)

    await asyncio.gather(*(put(file) for file in _files(task["folder"])))


async def straight_many_down(task: dict[str, Any], s3: Any) -> None:
    """Gets the object of each file of a folder, 32 at a time, and writes it to a file of another."""
    room = asyncio.Semaphore(MANY_AT_ONCE)
    folder = Path(task["folder"])
    await asyncio.to_thread(folder.mkdir)

    async def get(name: str) -> None:
        async with room:
            answer = await s3.get_object(Bucket=task["bucket"], Key=f"{task['name']}/{name}")
            async with answer["Body"] as body:
                await asyncio.to_thread((folder / name).write_bytes, await body.read())

    await asyncio.gather(*(get(file.name) for file in _files(task["source"])))


def _files(folder: str) -> list[Path]:
    return sorted(Path(folder).iterdir())


@asynccontextmanager
async def _connected(what: str, task: dict[str, Any]) -> AsyncIterator[Any]:
    if what.startswith("straight"):
        async with _client(task) as s3:
            yield s3
        return
    connection = Connection.to(task["address"])
    if not task.get("connecting"):
        await connection.call(connection.runs.GetRun, GetRunRequest(name=task["run"]))
    yield connection
    await close_connections()


@asynccontextmanager
async def _client(task: dict[str, Any]) -> AsyncIterator[Any]:
    checks = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    session: Any = AioSession()
    async with session.create_client(
        "s3",
        endpoint_url=task["endpoint"],
        aws_access_key_id=task["access_key"],
        aws_secret_access_key=task["secret_key"],
        region_name="us-east-1",
        config=AioConfig(s3={"addressing_style": "path"}, max_pool_connections=50, proxies={}, **checks),
    ) as client:
        await client.head_bucket(Bucket=task["bucket"])
        yield client


@asynccontextmanager
async def _opened(path: Path, flags: int) -> AsyncIterator[int]:
    file = os.open(path, flags)
    try:
        yield file
    finally:
        os.close(file)


PROGRAMS: dict[str, Callable[[dict[str, Any], Any], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        *(ours_up, ours_down, ours_many, ours_many_down, ours_snapshot),
        *(straight_up, straight_down, straight_many, straight_many_down),
    )
}


async def measure(what: str, task: dict[str, Any]) -> dict[str, float]:
    """Runs a program as often as its task says; how long it took the last time, and how much memory at most."""
    seconds = 0.0
    async with _connected(what, task) as to:
        for _ in range(task.get("times", 1)):
            begun = time.perf_counter()
            await PROGRAMS[what](task, to)
            seconds = time.perf_counter() - begun
    return {"seconds": seconds, "megabytes": peak_megabytes(os.getpid())}


def peak_megabytes(pid: int) -> float:
    """How much memory a process has had at most, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], json.loads(sys.argv[2])))))
