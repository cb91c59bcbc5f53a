"""Makes some of everything that the services keep, and finds out where it lies."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.artifact_calls import Calls, file_entry, sha256
from tests.chaos.damage import Kept, StoredColumn, StoredObject
from tests.conditions import until_answered
from tests.conftest import Backend
from tests.log_files import end_run, read_log, write_log
from tests.make_runs import make_run

_UNSEALED = """
SELECT NOT EXISTS (SELECT FROM metrics.chunk) AND NOT EXISTS (SELECT FROM metrics.seal_task)
   AND NOT EXISTS (SELECT FROM logs.chunk) AND NOT EXISTS (SELECT FROM logs.seal_task)
"""
_MAGIC_BYTES = 4


@dataclass(frozen=True)
class Store:
    """Services that seal at once, and what is behind them."""

    backend: Backend
    postgres: Postgres
    bucket: Bucket
    choice: random.Random

    async def fill(self, each: int) -> Sequence[Kept]:
        """Stores so many of each kind; nothing of it is small enough to have no bytes."""
        calls, run = Calls(self.backend.channel), await make_run(self.backend.channel, "files")
        kept = [await self._blob(calls, run, number) for number in range(each)]
        kept += [some for number in range(each // 2) for some in await self._pack(calls, run, number)]
        kept += [await self._manifest(calls, number) for number in range(each)]
        sealed = [await self._write(f"sealed-{number}") for number in range(each)]
        for name, _, _ in sealed:
            await end_run(self.backend, name)
        await until_answered(lambda: self.postgres.fetchval(_UNSEALED))
        kept += [part for name, text, values in sealed for part in await self._objects(name, text, values)]
        hot = [await self._write(f"hot-{number}") for number in range(each)]
        kept += [part for name, text, values in hot for part in await self._chunks(name, text, values)]
        return kept

    async def _blob(self, calls: Calls, run: str, number: int) -> Kept:
        data = self.choice.randbytes(1_500)
        digest, path = sha256(data), f"blob-{number}"
        await calls.store(data)
        await calls.bind(run, {path: digest})
        (key,) = [each.key async for each in self.bucket.list(f"blobs/sha256/{digest[:2]}/{digest}")]
        return Kept("blob", StoredObject(self.bucket, key), [(_reading(calls, run, path), data)], digest)

    async def _pack(self, calls: Calls, run: str, number: int) -> Sequence[Kept]:
        """Each blob of a pack, and which bytes of that it has; only the last one can be cut alone."""
        blobs = [self.choice.randbytes(self.choice.randrange(100, 1_000)) for _ in range(4)]
        digests = await calls.store(*blobs)
        await calls.bind(run, {f"pack-{number}-{n}": digest for n, digest in enumerate(digests)})
        kept = []
        for n, (digest, data) in enumerate(zip(digests, blobs, strict=True)):
            row = await self.postgres.fetchrow(
                "SELECT object, start_byte FROM artifacts.content WHERE digest = $1", bytes.fromhex(digest)
            )
            assert row is not None
            read, start = _reading(calls, run, f"pack-{number}-{n}"), row["start_byte"]
            cell = StoredObject(self.bucket, row["object"])
            kept.append(Kept("packed", cell, [(read, data)], digest, start, start + len(data), can_be_cut=False))
        return kept

    async def _manifest(self, calls: Calls, number: int) -> Kept:
        """An entry of a manifest: its digest is changed to another one."""
        files = {f"{n}.py": b"print(%d)\n" % (100 * number + n) for n in range(3)}
        await calls.store(*files.values())
        made = await calls.snapshot([file_entry(path, data) for path, data in files.items()])
        name = made.snapshot.name
        expected = await calls.archive(name)
        row = f"encode(snapshot, 'hex') = '{name.rpartition('/')[2]}' AND path = '1.py'"
        cell = StoredColumn(self.postgres, "artifacts.snapshot_entry", "digest", row)

        async def read() -> bytes:
            return await calls.archive(name)

        return Kept("manifest", cell, [(read, expected)], name, can_be_cut=False)

    async def _write(self, name: str) -> tuple[str, bytes, list[float]]:
        """A run with a log and a metric, both in one commit."""
        run = await make_run(self.backend.channel, name)
        text = self.choice.randbytes(2_000)
        values = [self.choice.random() for _ in range(200)]
        await write_log(self.backend, run, text, finish=name.startswith("sealed"))
        async with metrics_stream(self.backend.channel, run) as stream:
            await stream.send(1, doubles("loss", values))
            await stream.acknowledged(1)
        return run, text, values

    async def _objects(self, run: str, text: bytes, values: list[float]) -> Sequence[Kept]:
        folder = run.replace("workspaces/", "").replace("runs/", "")
        (segment,) = [each.key async for each in self.bucket.list(f"logs/{folder}/")]
        (parquet,) = [each.key async for each in self.bucket.list(f"metrics/{folder}/")]
        frames = await self.postgres.fetchval("SELECT times_start FROM logs.segment WHERE run = $1", run.split("/")[-1])
        return [
            Kept("segment", StoredObject(self.bucket, segment), [self._log(run, text)], f"log {run}", 0, frames),
            Kept("parquet", StoredObject(self.bucket, parquet), [self._metric(run, values)], run, _MAGIC_BYTES),
        ]

    async def _chunks(self, run: str, text: bytes, values: list[float]) -> Sequence[Kept]:
        row = f"run = '{run.split('/')[-1]}'"
        log = StoredColumn(self.postgres, "logs.chunk", "content", row)
        metric = StoredColumn(self.postgres, "metrics.chunk", "columns", row)
        return [
            Kept("hot log", log, [self._log(run, text)], f"log {run}"),
            Kept("hot metric", metric, [self._metric(run, values)], run),
        ]

    def _log(self, run: str, text: bytes) -> tuple[Callable[[], Awaitable[object]], object]:
        return (lambda: read_log(self.backend, run)), text

    def _metric(self, run: str, values: list[float]) -> tuple[Callable[[], Awaitable[object]], object]:
        async def read() -> object:
            request = metrics.ReadSeriesRequest(runs=[run])
            found = stubs.metrics(self.backend.channel).ReadSeries(request)
            return [value async for part in found for value in part.columns.doubles.values]

        return read, values


def _reading(calls: Calls, run: str, path: str) -> Callable[[], Awaitable[object]]:
    return lambda: calls.read(run, path)
