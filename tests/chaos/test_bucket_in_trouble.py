"""P14: whatever the bucket answers, values and logs are acknowledged, nothing leaves Postgres before its object was
read back, and afterwards everything is there, once, and nothing else.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import numpy as np
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.logs import scrubbing as log_scrubbing
from runstream_server.metrics import scrubbing as metric_scrubbing
from runstream_server.objectstore import open_bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import failure_of
from tests.artifact_calls import sha256
from tests.bucket_proxy import Trouble
from tests.chaos.blob_checker import check_bucket, check_kept
from tests.chaos.blob_clients import BlobClient
from tests.chaos.bucket_site import BucketSite, Written, bucket_site
from tests.chaos.scale import SCALE
from tests.conditions import until_answered
from tests.make_runs import WORKSPACE, make_run

FULL = SCALE.factor > 1
BATCHES = 500 if FULL else 10
CLIENTS = 2
THINGS = 6 if FULL else 3
"""That each client keeps in a round."""
SLOW_SECONDS = 10.0 if FULL else 0.3
MOST_RATIO = 1.5
SOMETIMES = {
    Trouble.SLOW_DOWN: 60.0,
    Trouble.SLOW: 60.0,
    Trouble.RESET: 30.0,
    Trouble.TRUNCATED: 30.0,
    Trouble.LOST: 30.0,
}
"""For how many seconds three of ten requests meet it, in the full form; in the short form all of them come together."""
ALWAYS = {
    Trouble.FORBIDDEN: (30.0, "BUCKET_REFUSED"),
    Trouble.SKEWED: (30.0, "BUCKET_CLOCK_SKEWED"),
    Trouble.GONE: (300.0, "BUCKET_UNAVAILABLE"),
}
"""For how many seconds all requests meet it, and what the services call it."""


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


class Rounds:
    """Runs that are written one after the other."""

    def __init__(self, site: BucketSite) -> None:
        self.written: list[Written] = []
        self._site = site

    async def work(self, seconds: float) -> Sequence[Written]:
        """Writes a run, in the full form as many as there is time for."""
        begun = time.monotonic()
        some: list[Written] = []
        while not some or (FULL and time.monotonic() - begun < seconds):
            some.append(await self._site.write(f"run-{len(self.written)}", BATCHES))
            self.written.append(some[-1])
        return some


async def meet_sometimes(site: BucketSite, rounds: Rounds, clients: Sequence[BlobClient], *kinds: Trouble) -> None:
    """Three of ten requests meet trouble while runs are written and files kept."""
    site.trouble(*kinds, chance=0.3)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rounds.work(max((SOMETIMES[kind] for kind in kinds), default=60.0)))
        for client in clients:
            tasks.create_task(keep(client))
    site.trouble()


async def keep(client: BlobClient) -> None:
    for _ in range(THINGS):
        await client.work()


async def meet_always(site: BucketSite, rounds: Rounds, kind: Trouble) -> None:
    """All requests meet trouble: who asks for the bucket is told what it is, and everything stays in Postgres."""
    await site.sealed(*(each.run for each in rounds.written))  # else the new runs are tried only after all of these
    site.trouble(kind)
    seconds, reason = ALWAYS[kind]
    some = await rounds.work(seconds)
    begin = messages.BeginUploadRequest(parent=WORKSPACE, digest=sha256(b"new"), size_bytes=3)
    failure = await failure_of(stubs.artifacts(site.channel).BeginUpload(begin))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    await site.failed(some[0].run)
    for each in some:
        await check_values(site, each)
        assert await site.read_log(each) == each.text
    site.trouble()
    await site.sealed(*(each.run for each in some))


async def check_values(site: BucketSite, written: Written) -> None:
    """Asserts that all values of a run are there, once and in order."""
    found = stubs.metrics(site.channel).ReadSeries(metrics.ReadSeriesRequest(runs=[written.run]))
    assert [value async for part in found for value in part.columns.doubles.values] == written.values


@asynccontextmanager
async def keeping(site: BucketSite, seed: int) -> AsyncIterator[tuple[str, Sequence[BlobClient]]]:
    """Clients that keep files."""
    run = await make_run(site.channel, "files")
    clients = [BlobClient(n, site.server.address, run, random.Random(f"{seed} {n}")) for n in range(CLIENTS)]
    try:
        yield run, clients
    finally:
        for client in clients:
            await client.close()


async def check_sealed(site: BucketSite, config: Config, written: Sequence[Written]) -> None:
    """Asserts that each run was read back, is whole, and that the bucket has nothing else of metrics and logs."""
    for each in written:
        await site.check_read_back(each)
        await check_values(site, each)
        assert await site.read_log(each) == each.text
    await until_answered(lambda: nothing_given_up(site.postgres))
    folders = ("metrics/", "logs/")
    async with open_bucket(config.bucket) as bucket:
        keys = [each.key for folder in folders async for each in bucket.list(folder)]
        assert [each for folder in folders async for each in bucket.list_unfinished(folder)] == []
    assert len(keys) == 2 * len(written)
    for scrub in (log_scrubbing.scrub, metric_scrubbing.scrub):
        assert (await scrub(config))["damaged_places"] == 0


async def nothing_given_up(postgres: Postgres) -> bool:
    """Whether all objects that were given up are gone; their leases have ended."""
    for table in ("metrics.sealed_object", "logs.segment"):
        await postgres.execute(
            f"UPDATE {table} SET expire_time = now() WHERE state <> 'current' AND expire_time > now()"
        )
    return not await postgres.fetchval(
        """
        SELECT EXISTS (SELECT FROM metrics.sealed_object WHERE state <> 'current')
            OR EXISTS (SELECT FROM logs.segment WHERE state <> 'current')
        """
    )


def p99(written: Sequence[Written]) -> float:
    """The time in seconds that 99 of 100 acknowledgements did not take longer than."""
    return float(np.percentile([each for one in written for each in one.seconds], 99))


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_a_bucket_in_trouble_delays_sealing_and_files_and_loses_nothing(
    config: Config, postgres: Postgres, seed: int
) -> None:
    choice = random.Random(seed)
    limit = SCALE.seconds
    async with (
        asyncio.timeout(limit),
        bucket_site(config, postgres, choice) as site,
        keeping(site, seed) as (run, clients),
    ):
        site.proxy.slow_seconds = SLOW_SECONDS
        rounds = Rounds(site)
        await meet_sometimes(site, rounds, clients)
        before = list(rounds.written)
        await site.sealed(*(each.run for each in before))
        phases: list[tuple[Trouble, ...]] = [(kind,) for kind in SOMETIMES] if FULL else [tuple(SOMETIMES)]
        phases += [(kind,) for kind in ALWAYS]
        for kinds in choice.sample(phases, len(phases)):
            if kinds[0] in ALWAYS:
                await meet_always(site, rounds, kinds[0])
            else:
                await meet_sometimes(site, rounds, clients, *kinds)
        during = rounds.written[len(before) :]
        print(f"p99 of acknowledgements: {p99(before):.4f} s without, {p99(during):.4f} s with trouble")
        await site.sealed(*(each.run for each in rounds.written))

        await check_sealed(site, config, rounds.written)
        await check_kept(site.channel, run, clients)
        await check_bucket(config.postgres.dsn, config.bucket)
        await check_kept(site.channel, run, clients)
        if FULL:
            assert p99(during) < MOST_RATIO * p99(before)
