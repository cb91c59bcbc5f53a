"""Checks that all that clients were told is kept is there, and nothing else."""

import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc

from runstream_server.artifacts.collecting import Collector, make_collector
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.scrub_store import ScrubStore
from runstream_server.artifacts.scrubbing import Scrubber
from runstream_server.artifacts.strays import FOLDERS
from runstream_server.config import BucketConfig, PostgresConfig
from runstream_server.objectstore import Bucket, open_bucket
from runstream_server.postgres import Postgres, open_postgres
from tests.artifact_calls import Calls
from tests.chaos.blob_clients import BlobClient

GRACE = timedelta(days=1)


async def check_kept(channel: grpc.aio.Channel, run: str, clients: Sequence[BlobClient]) -> None:
    """What was bound can be read, what was deleted is not listed, and snapshots are whole."""
    calls = Calls(channel)
    kept = {path: data for client in clients for path, data in client.kept.items()}
    assert await calls.listed(run) == sorted(kept)
    for path, data in kept.items():
        assert await calls.read(run, path) == data
    for client in clients:
        for name, data in client.snapshots.items():
            with zipfile.ZipFile(io.BytesIO(await calls.archive(name))) as archive:
                assert [archive.read(each) for each in archive.namelist()] == [data]


async def check_bucket(dsn: str, config: BucketConfig) -> None:
    """After collections the bucket has what the database refers to and nothing else, and every digest is right."""
    async with open_postgres(PostgresConfig(dsn=dsn)) as postgres, open_bucket(config) as bucket:
        async with _later(postgres, bucket, timedelta(days=3)) as collector:
            await collector.collect(strays=True)
        async with _later(postgres, bucket, timedelta(days=4)) as collector:
            await collector.collect(strays=True)
        rows = await postgres.fetch("SELECT DISTINCT object FROM artifacts.content")
        keys = [each.key for folder in FOLDERS async for each in bucket.list(folder)]
        assert sorted(keys) == sorted(row["object"] for row in rows)
        assert [each async for each in bucket.list_unfinished("")] == []
        assert await postgres.fetchval("SELECT count(*) FROM artifacts.garbage") == 0
        contents = Contents(ContentStore(postgres), bucket, lambda: datetime.now(UTC))
        scrub = await Scrubber(ScrubStore(postgres), contents, lambda: datetime.now(UTC)).scrub()
        assert scrub.damaged == []


@asynccontextmanager
async def _later(postgres: Postgres, bucket: Bucket, after: timedelta) -> AsyncIterator[Collector]:
    """A collector whose clock is ahead."""
    yield make_collector(postgres, bucket, GRACE, lambda: datetime.now(UTC) + after)
