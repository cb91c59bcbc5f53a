"""P10: whatever stored bytes become is told as lost when it is read, never served, and found by one scrub."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from runstream_server.artifacts import upkeep
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.logs import scrubbing as log_scrubbing
from runstream_server.metrics import scrubbing as metric_scrubbing
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.chaos.damage import Kept, check_read, flip, swap, truncate
from tests.chaos.scale import SCALE
from tests.chaos.stored_bytes import Store
from tests.conftest import serve

EACH = 20
"""Of each kind, some of which stay as they are."""
FLIPPED = 100
CUT = 20
KINDS = ("blob", "packed", "manifest", "segment", "parquet", "hot log", "hot metric")


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


async def scrubbed(config: Config) -> Counter[str]:
    """What one pass over everything says is damaged."""
    found: dict[str, Any] = await upkeep.scrub(config)
    logs, metrics = await log_scrubbing.scrub(config), await metric_scrubbing.scrub(config)
    words = [each["digest"] for each in found["damaged"]] + found["damaged_snapshots"]
    return Counter(
        [*words, *(f"log {each['run']}" for each in logs["damaged"]), *(e["run"] for e in metrics["damaged"])]
    )


async def damage(kept: Sequence[Kept], choice: random.Random) -> Sequence[Kept]:
    """Flips, cuts and exchanges; each kind has its share. Returns what is damaged."""
    left = {kind: choice.sample(of, len(of)) for kind in KINDS if (of := [each for each in kept if each.kind == kind])}
    swapped = [left[kind].pop() for kind in KINDS if kind != "packed" for _ in range(2)]
    for one, other in zip(swapped[::2], swapped[1::2], strict=True):
        await swap(one, other)
    can_be_cut = [each for of in left.values() for each in of if each.can_be_cut]
    cut = choice.sample(can_be_cut, CUT)
    others = [each for of in left.values() for each in of if each not in cut]
    flipped = choice.sample(others, min(FLIPPED, len(others) - len(KINDS)))
    for each in cut:
        await truncate(each, choice)
    for each in flipped:
        await flip(each, choice)
    assert len(flipped) == FLIPPED
    return [*swapped, *cut, *flipped]


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_no_change_of_stored_bytes_is_served_and_one_scrub_finds_each(
    config: Config, postgres: Postgres, bucket: Bucket, seed: int
) -> None:
    choice = random.Random(seed)
    async with asyncio.timeout(SCALE.seconds), serve(config) as backend:
        kept = await Store(backend, postgres, bucket, choice).fill(EACH)
        assert await scrubbed(config) == Counter()
        damaged = await damage(kept, choice)

        words = {each.scrubbed for each in damaged}
        for each in kept:
            await check_read(each, damaged=each.scrubbed in words)
        assert await scrubbed(config) == Counter(each.scrubbed for each in damaged)
