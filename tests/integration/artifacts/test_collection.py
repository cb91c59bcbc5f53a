"""Garbage collection: what can go goes, what can not stays."""

from datetime import timedelta

import pytest

from runstream_server.artifacts.collecting import READERS_GRACE
from runstream_server.config import BucketConfig
from runstream_server.errors import BucketUnavailable
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.artifact_calls import sha256
from tests.artifact_rules import GRACE, RUN, SPACE, Service

UNDELETABLE = "packs/../../outside"
"""A key that the bucket refuses."""


async def test_only_what_nothing_refers_to_goes_when_the_grace_is_over(service: Service) -> None:
    for data in (b"bound", b"in a snapshot", b"asked for", b"unused"):
        await service.store(data)
    await service.bind("a", b"bound")
    assert await service.snapshot(b"in a snapshot")
    service.now += GRACE
    await service.using.use(SPACE, [sha256(b"asked for")])
    assert (await service.collector.collect()).contents == 0

    service.now += GRACE / 2
    found = await service.collector.collect()

    assert (found.blobs, found.contents, found.freed_bytes) == (1, 1, len(b"unused"))
    assert not await service.has(b"unused")
    for data in (b"bound", b"in a snapshot", b"asked for"):
        assert await service.read(data) == data


async def test_objects_go_when_nobody_can_read_them_by_a_url_any_more(service: Service) -> None:
    await service.store(b"unused")
    service.now += 2 * GRACE
    first = await service.collector.collect()
    assert (first.deleted_objects, first.waiting_objects, first.waiting_bytes) == (0, 1, len(b"unused"))
    assert len(await service.keys()) == 1

    service.now += READERS_GRACE
    second = await service.collector.collect()

    assert (second.deleted_objects, second.deleted_bytes, second.waiting_objects) == (1, len(b"unused"), 0)
    assert await service.keys() == []


async def test_a_dry_run_tells_what_would_go_and_changes_nothing(service: Service) -> None:
    await service.store(b"bound")
    await service.store(b"unused")
    await service.store(b"of two", workspace="other")
    await service.store(b"of two")
    await service.bind("a", b"bound")
    await service.bind("a", b"of two", workspace="other")
    service.now += 2 * GRACE

    told = await service.collector.collect(dry_run=True)
    again = await service.collector.collect(dry_run=True)
    done = await service.collector.collect()

    assert told == again
    assert (told.blobs, told.contents, told.freed_bytes) == (2, 1, len(b"unused"))
    assert (done.blobs, done.contents, done.freed_bytes) == (told.blobs, told.contents, told.freed_bytes)
    assert await service.read(b"of two", "other") == b"of two"


async def test_deleted_artifacts_free_their_bytes(service: Service) -> None:
    await service.store(b"one", b"two")
    await service.bind("a", b"one")
    await service.bind("b", b"two")
    service.now += 2 * GRACE
    assert (await service.collector.collect()).contents == 0
    assert await service.bindings.delete(RUN, ["a"]) == 1

    assert (await service.collector.collect()).contents == 1
    assert await service.read(b"two") == b"two"


async def test_packs_that_are_mostly_dead_are_rewritten(service: Service) -> None:
    blobs = [b"%03d" % n * 100 for n in range(100)]
    await service.store(*blobs[:50])
    await service.store(*blobs[50:])
    for n in (3, 42, 77):
        await service.bind(str(n), blobs[n])
    service.now += 2 * GRACE
    found = await service.collector.collect()
    assert found.packs_rewritten == 2
    service.now += READERS_GRACE
    await service.collector.collect()

    (key,) = await service.keys()
    assert (await service.bucket.head(key)).size_bytes < 2_000  # type: ignore[union-attr]
    for n in (3, 42, 77):
        assert await service.read(blobs[n]) == blobs[n]


async def test_the_many_tiny_blobs_that_are_left_of_packs_are_not_rewritten_into_one(service: Service) -> None:
    blobs = [b"%05d" % n for n in range(11_000)]
    for start in range(0, len(blobs), 1_000):
        await service.store(*blobs[start : start + 1_000], b"%05d" % start * 5_000)
    service.now += 2 * GRACE
    await service.using.use(SPACE, [sha256(data) for data in blobs])

    assert (await service.collector.collect()).packs_rewritten == 11
    assert sorted(pack.live_count for pack in await service.steps.packs("")) == [1_000, 10_000]


async def test_a_pack_that_is_in_use_is_left_alone(service: Service) -> None:
    blobs = [b"%03d" % n * 100 for n in range(10)]
    await service.store(*blobs)
    for n in range(6):
        await service.bind(str(n), blobs[n])
    service.now += 2 * GRACE

    assert (await service.collector.collect()).packs_rewritten == 0


async def test_only_own_objects_that_nothing_knows_are_strays(service: Service) -> None:
    await service.store(b"known")
    await service.store(b"one", b"two")
    for key in ("blobs/sha256/aa/stray", "packs/aa/stray", "uploads/0/stray", "metrics/space/run.parquet", "logs/a/b"):
        await service.bucket.put(key, b"")
    await service.bucket.begin_parts("blobs/sha256/bb/parts")
    assert (await service.collector.collect(strays=True)).stray_objects == 0
    service.now += timedelta(days=3)
    await service.using.use(SPACE, [sha256(data) for data in (b"known", b"one", b"two")])

    assert (await service.collector.collect(strays=True, dry_run=True)).stray_objects == 4
    assert (await service.collector.collect(strays=True)).stray_objects == 4
    left = sorted(await service.keys())
    assert [key for key in left if not key.startswith(("blobs/", "packs/"))] == [
        "logs/a/b",
        "metrics/space/run.parquet",
    ]
    assert len(left) == 4
    assert [each async for each in service.bucket.list_unfinished("")] == []
    assert await service.read(b"two") == b"two"


async def test_parts_whose_beginning_was_not_answered_go_though_another_upload_made_the_object(
    service: Service,
) -> None:
    await service.upload(b"data")
    (key,) = await service.keys()
    await service.bind("a", b"data")
    await service.bucket.begin_parts(key)
    service.now += timedelta(days=3)

    assert (await service.collector.collect(strays=True)).stray_objects == 1
    assert [each async for each in service.bucket.list_unfinished("")] == []
    assert await service.read(b"data") == b"data"


class Stubborn(Bucket):
    """Refuses to delete some objects."""

    async def delete(self, key: str) -> None:
        if "stubborn" in key:
            raise BucketUnavailable
        await super().delete(key)


async def test_a_stray_that_cannot_be_deleted_holds_up_no_other(
    postgres: Postgres, bucket_config: BucketConfig
) -> None:
    bucket = Stubborn(bucket_config)
    service = Service(postgres, bucket)
    for key in ("packs/aa/a", "packs/aa/stubborn", "packs/zz/z"):
        await bucket.put(key, b"")
    service.now += timedelta(days=3)

    found = await service.collector.collect(strays=True)

    assert (found.stray_objects, found.refused_objects) == (2, 1)
    assert await service.keys() == ["packs/aa/stubborn"]
    for number in range(3):
        await bucket.put(f"packs/aa/stubborn-{number}", b"")
    with pytest.raises(BucketUnavailable):
        await service.collector.collect(strays=True)
    await bucket.close()


async def test_an_object_that_cannot_be_deleted_holds_up_no_other(service: Service) -> None:
    await service.store(b"unused")
    await service.content_store.note_object(UNDELETABLE, 1, service.now)
    service.now += 2 * GRACE
    first = await service.collector.collect()
    again = await service.collector.collect()
    service.now += READERS_GRACE
    second = await service.collector.collect()

    assert (first.refused_objects, again.refused_objects) == (1, 0)
    assert (second.deleted_objects, second.refused_objects, second.waiting_objects) == (1, 1, 1)
    assert await service.keys() == []


async def test_a_bucket_that_deletes_nothing_is_not_asked_for_every_object(service: Service) -> None:
    for number in range(5):
        await service.content_store.note_object(f"{UNDELETABLE}{number}", 1, service.now)
    with pytest.raises(BucketUnavailable):
        await service.collector.garbage.delete_all()
    assert await service.collector.garbage.waiting() == (5, 5)
