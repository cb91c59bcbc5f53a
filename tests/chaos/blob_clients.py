"""Clients that keep files of a run, whatever happens to who keeps them, and note what they were told is kept."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from typing import TypeVar

import grpc

from runstream._channel.backoff import backoff_seconds
from runstream_server.rpc import open_channel
from tests.artifact_calls import PART_BYTES, Calls, file_entry, put, sha256

T = TypeVar("T")

_PATIENCE_SECONDS = 60.0
_TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_LARGEST = PART_BYTES + 3_000_000


class BlobClient:
    """Does one thing after the other, each until it is done, and remembers what must be there then."""

    def __init__(self, number: int, address: str, run: str, choice: random.Random) -> None:
        self.kept: dict[str, bytes] = {}
        """What each path must have."""
        self.gone: set[str] = set()
        """Paths that were deleted."""
        self.snapshots: dict[str, bytes] = {}
        """Names of snapshots, each of one file."""
        self.begun = 0
        self._number = number
        self._run = run
        self._choice = choice
        self._channel = open_channel(address)
        self._calls = Calls(self._channel)

    async def work(self) -> None:
        """Does one thing."""
        await self._choice.choice([self._small, self._small, self._parts, self._relay, self._snapshot, self._delete])()

    async def _small(self) -> None:
        blobs = [self._choice.randbytes(self._choice.randrange(4_000)) for _ in range(self._choice.randrange(1, 30))]
        await self._insist(lambda: self._calls.store(*blobs))
        await self._bind(*blobs)

    async def _parts(self) -> None:
        data = self._choice.randbytes(self._choice.randrange(1, _LARGEST))
        await self._insist(lambda: self._upload(data, self._put_parts))
        await self._bind(data)

    async def _relay(self) -> None:
        data = self._choice.randbytes(self._choice.randrange(1, _LARGEST))
        await self._insist(lambda: self._upload(data, self._relay_rest))
        await self._bind(data)

    async def _upload(self, data: bytes, send: Callable[[str, bytes], Awaitable[None]]) -> None:
        begun = await self._calls.begin(data, multipart=True)
        if begun.exists:
            return
        await self._insist(lambda: send(begun.upload_id, data))
        await self._insist(lambda: self._calls.complete(begun.upload_id))

    async def _put_parts(self, upload_id: str, data: bytes) -> None:
        missing = (await self._calls.query(upload_id)).missing_part_numbers
        if missing:
            for part in await self._calls.urls(upload_id, missing):
                end = part.offset_bytes + part.size_bytes
                await put(part.url, part.headers, data[part.offset_bytes : end])

    async def _relay_rest(self, upload_id: str, data: bytes) -> None:
        at = (await self._calls.query(upload_id)).committed_size_bytes
        if at < len(data):
            pieces = [data[place : place + 200_000] for place in range(at, len(data), 200_000)]
            await self._calls.relay(upload_id, pieces, at)

    async def _bind(self, *blobs: bytes) -> None:
        paths = [f"{self._number}/{self.begun + n}" for n in range(len(blobs))]
        self.begun += len(blobs)
        bindings = {path: sha256(data) for path, data in zip(paths, blobs, strict=True)}
        await self._insist(lambda: self._calls.bind(self._run, bindings))
        self.kept.update(zip(paths, blobs, strict=True))

    async def _snapshot(self) -> None:
        data = self._choice.randbytes(self._choice.randrange(5_000))
        entries = [file_entry(f"{self._number}.py", data)]

        async def make() -> None:
            made = await self._calls.snapshot(entries)
            if made.missing_digests:
                await self._calls.store(data)
                made = await self._calls.snapshot(entries)
            self.snapshots[made.snapshot.name] = data

        await self._insist(make)

    async def _delete(self) -> None:
        paths = self._choice.sample(sorted(self.kept), len(self.kept) // 4)
        if paths:
            await self._insist(lambda: self._calls.delete(self._run, paths))
            self.gone.update(paths)
            for path in paths:
                del self.kept[path]

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Calls until it succeeds; what is no passing trouble fails."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        failures = 0
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if not _is_passing(error) or time.monotonic() > deadline:
                    raise
            except (OSError, HTTPException):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(backoff_seconds(failures))  # as clients do
            failures += 1

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def _is_passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether it may go well the next time; what is sent just as a connection breaks fails within gRPC."""
    return error.code() in _TRANSIENT or "Internal error from Core" in (error.details() or "")
