"""What an operator has done to the bucket by `runstream-server`: collecting garbage, and reading everything again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from runstream_server.artifacts.collecting import make_collector
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.manifest_scrubbing import ManifestScrubber
from runstream_server.artifacts.scrub_store import ScrubStore
from runstream_server.artifacts.scrubbing import Scrubber
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.config import Config
from runstream_server.objectstore import Bucket, open_bucket
from runstream_server.postgres import Postgres, open_postgres


async def collect_garbage(config: Config, grace: timedelta, *, dry_run: bool, strays: bool) -> dict[str, Any]:
    """Collects garbage once; returns what was found."""
    async with _opened(config) as (postgres, bucket):
        collector = make_collector(postgres, bucket, grace, _now)
        return asdict(await collector.collect(dry_run=dry_run, strays=strays))


async def scrub(config: Config) -> dict[str, Any]:
    """Reads all bytes again; returns what was found."""
    async with _opened(config) as (postgres, bucket):
        contents = Contents(ContentStore(postgres), bucket, _now)
        found = asdict(await Scrubber(ScrubStore(postgres), contents, _now).scrub())
        return found | asdict(await ManifestScrubber(SnapshotStore(postgres)).scrub())


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[tuple[Postgres, Bucket]]:
    async with open_postgres(config.postgres) as postgres, open_bucket(config.bucket) as bucket:
        yield postgres, bucket


def _now() -> datetime:
    return datetime.now(UTC)
