"""Garbage collection: what can go goes, what can not stays, whatever comes in between."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from runstream_server.artifacts.collecting import READERS_GRACE, Collector, make_collector
from runstream_server.artifacts.collection_store import CollectionStore
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.model import Binding, Blob, Parts
from runstream_server.artifacts.small_blobs import SmallBlobs
from runstream_server.artifacts.snapshot_model import Snapshot, SnapshotEntry, SnapshotName, snapshot_id
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.artifacts.upload_store import UploadStore
from runstream_server.artifacts.uploads import Uploads
from runstream_server.artifacts.using import Using
from runstream_server.names import RunName, WorkspaceName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.artifact_calls import sha256

GRACE = timedelta(days=1)
SPACE = "space"
RUN = RunName(SPACE, "run")


class Service:
    """What the rules of the service stand on, with a clock that a test sets."""

    def __init__(self, postgres: Postgres, bucket: Bucket) -> None:
        self.now = datetime.now(UTC)
        self.postgres = postgres
        self.bucket = bucket
        self.collector: Collector = make_collector(postgres, bucket, GRACE, self.clock)
        self.steps = CollectionStore(postgres)
        self.content_store = ContentStore(postgres)
        self.contents = Contents(self.content_store, bucket, self.clock)
        self.using = Using(self.content_store, GRACE, self.clock)
        self.small = SmallBlobs(self.content_store, bucket, self.clock)
        self.uploads = Uploads(UploadStore(postgres), bucket, self.collector.garbage, self.clock)
        self.bindings = ArtifactStore(postgres)
        self.snapshots = SnapshotStore(postgres)

    def clock(self) -> datetime:
        return self.now

    async def store(self, *blobs: bytes, workspace: str = SPACE) -> None:
        await self.small.store(WorkspaceName(workspace), blobs, await self.small.digest(blobs))

    async def bind(self, path: str, data: bytes, workspace: str = SPACE) -> None:
        await self.bindings.bind(RunName(workspace, "run"), [Binding(path, sha256(data))], self.now)

    async def upload(self, data: bytes, workspace: str = SPACE) -> None:
        name, parts = WorkspaceName(workspace), Parts.cut(len(data), multipart=True)
        upload = (await self.uploads.begin(name, sha256(data), parts)).upload
        await self.bucket.put_part(upload.object, upload.parts_id, 1, data)
        await self.uploads.complete(name, upload.upload_id, None)

    async def snapshot(self, data: bytes) -> bool:
        entries = [SnapshotEntry("a", Blob(sha256(data), len(data)), executable=False)]
        name = SnapshotName(SPACE, snapshot_id(entries))
        return await self.snapshots.add(Snapshot(name, 1, len(data), self.now), entries)

    async def read(self, data: bytes, workspace: str = SPACE) -> bytes:
        content = (await self.content_store.locate(workspace, [sha256(data)], checksums=True))[sha256(data)]
        return b"".join([piece async for piece in self.contents.read(content, 0, len(data))])

    async def has(self, data: bytes) -> bool:
        return sha256(data) in await self.content_store.locate(SPACE, [sha256(data)])

    async def keys(self) -> list[str]:
        return [each.key async for each in self.bucket.list()]

    async def close(self) -> None:
        await self.uploads.close()


@pytest.fixture
async def service(postgres: Postgres, bucket: Bucket) -> AsyncIterator[Service]:
    service = Service(postgres, bucket)
    yield service
    await service.close()


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


Steps = list[Callable[[], Awaitable[None]]]


def collecting(service: Service) -> Steps:
    """The steps of a collection, each a transaction."""
    cutoff = service.now - GRACE
    found: dict[str, object] = {}

    async def look_for_blobs() -> None:
        found["blobs"] = await service.steps.unused_blobs(("", b""), cutoff)

    async def remove_blobs() -> None:
        await service.steps.remove_blobs(found["blobs"], cutoff)  # type: ignore[arg-type]

    async def look_for_contents() -> None:
        found["contents"] = (await service.steps.unused_contents(b"", None)).digests

    async def remove_contents() -> None:
        await service.steps.remove_contents(found["contents"], service.now)  # type: ignore[arg-type]

    async def delete_objects() -> None:
        await service.collector.garbage.delete_all()

    return [look_for_blobs, remove_blobs, look_for_contents, remove_contents, delete_objects]


def asking_and_binding(service: Service, data: bytes) -> Steps:
    """A client that sends what it is told is missing, and nothing else."""

    async def ask() -> None:
        if not await service.using.use(SPACE, [sha256(data)]):
            await service.store(data)

    async def bind() -> None:
        await service.bind(sha256(data), data)

    return [ask, bind]


def sending_in_parts(service: Service, data: bytes) -> Steps:
    async def upload() -> None:
        await service.upload(data)

    async def bind() -> None:
        await service.bind(sha256(data), data)

    return [upload, bind]


def sending_elsewhere(service: Service, data: bytes) -> Steps:
    """A client of another workspace with the same bytes."""

    async def store() -> None:
        await service.store(data, workspace="other")

    async def bind() -> None:
        await service.bind(sha256(data), data, "other")

    return [store, bind]


def taking_a_snapshot(service: Service, data: bytes) -> Steps:
    async def ask() -> None:
        if not await service.using.use(SPACE, [sha256(data)]):
            await service.upload(data)

    async def snapshot() -> None:
        assert await service.snapshot(data)

    return [ask, snapshot]


def merged(first: Steps, second: Steps) -> Iterator[Steps]:
    """All orders of the steps of two that go on at the same time."""
    count = len(first) + len(second)
    for places in combinations(range(count), len(second)):
        ones, others = iter(first), iter(second)
        yield [next(others) if place in places else next(ones) for place in range(count)]


@pytest.mark.parametrize(
    "client",
    [asking_and_binding, sending_in_parts, sending_elsewhere, taking_a_snapshot],
    ids=lambda each: each.__name__,
)
async def test_no_order_of_steps_takes_bytes_from_a_client(
    service: Service, client: Callable[[Service, bytes], Steps]
) -> None:
    """Whatever comes between which steps of a collection, what a client bound can be read."""
    orders = len(list(merged([None] * 5, [None] * 2)))  # type: ignore[list-item]
    blobs = [f"{client.__name__} {order}".encode() for order in range(orders)]
    for data in blobs:
        await service.store(data)
    service.now += 2 * GRACE
    for order, data in enumerate(blobs):
        for step in list(merged(collecting(service), client(service, data)))[order]:
            await step()
        workspace = "other" if client is sending_elsewhere else SPACE
        assert await service.read(data, workspace) == data


@pytest.mark.parametrize("seed", [1])
async def test_clients_and_collectors_that_run_at_the_same_time_agree(service: Service, seed: int) -> None:
    """Rounds of everything at once, with a clock that moves on only in between."""
    choice = random.Random(seed)
    blobs = [b"%d" % n * choice.randrange(1, 3_000) for n in range(12)]
    bound: dict[str, bytes] = {}

    async def keep(path: str, data: bytes) -> None:
        steps = choice.choice([asking_and_binding, sending_in_parts])(service, data)
        await steps[0]()
        await service.bind(path, data)
        bound[path] = data

    async def drop(path: str) -> None:
        del bound[path]
        await service.bindings.delete(RUN, [path])

    for number in range(6):
        going = choice.sample(sorted(bound), len(bound) // 2)
        await asyncio.gather(
            *(service.collector.collect() for _ in range(2)),
            *(keep(f"{number}/{n}", choice.choice(blobs)) for n in range(8)),
            *(drop(path) for path in going),
        )
        for path, data in bound.items():
            assert await service.read(data) == data, path
        service.now += 2 * GRACE
    await service.bindings.delete(RUN, sorted(bound))
    for _ in range(3):
        await service.collector.collect(strays=True)
        service.now += timedelta(days=3)
    assert await service.keys() == []


async def test_a_bind_that_is_not_committed_yet_keeps_its_blob(service: Service) -> None:
    await service.store(b"data")
    service.now += 2 * GRACE
    page = await service.steps.unused_blobs(("", b""), service.now - GRACE)
    async with service.postgres.transaction() as connection:
        await connection.execute("SELECT FROM artifacts.blob FOR KEY SHARE")

        assert await service.steps.remove_blobs(page, service.now - GRACE) == 0


async def test_a_bind_that_comes_too_late_says_so(service: Service) -> None:
    await service.store(b"data")
    service.now += 2 * GRACE
    await service.collector.collect()

    with pytest.raises(Exception, match="the workspace has no blob"):
        await service.bind("a", b"data")


async def test_an_upload_that_is_given_up_while_it_is_completed_leaves_nothing(service: Service) -> None:
    name, parts = WorkspaceName(SPACE), Parts.cut(4, multipart=True)
    upload = (await service.uploads.begin(name, sha256(b"data"), parts)).upload
    await service.bucket.put_part(upload.object, upload.parts_id, 1, b"data")
    tags = [part.tag for part in (await service.bucket.list_parts(upload.object, upload.parts_id)).values()]
    await service.bucket.complete_parts(upload.object, upload.parts_id, tags)
    await service.uploads.abort(name, upload.upload_id)
    with pytest.raises(Exception, match="no upload"):
        await service.uploads.complete(name, upload.upload_id, None)
    await service.collector.garbage.delete_all()

    assert await service.keys() == []


async def test_an_upload_whose_parts_are_an_object_already_is_completed(service: Service) -> None:
    """As when the service was killed after it made the object, and before it noted that."""
    name, parts = WorkspaceName(SPACE), Parts.cut(4, multipart=True)
    upload = (await service.uploads.begin(name, sha256(b"data"), parts)).upload
    await service.bucket.put_part(upload.object, upload.parts_id, 1, b"data")
    tags = [part.tag for part in (await service.bucket.list_parts(upload.object, upload.parts_id)).values()]
    await service.bucket.complete_parts(upload.object, upload.parts_id, tags)

    assert (await service.uploads.state(name, upload.upload_id)).missing == ()
    await service.uploads.complete(name, upload.upload_id, None)
    assert await service.read(b"data") == b"data"


async def test_one_of_all_processes_collects(service: Service) -> None:
    hour = timedelta(hours=1)

    assert [await service.collector.is_due(hour) for _ in range(3)] == [True, False, False]
    service.now += hour
    assert [await service.collector.is_due(hour) for _ in range(2)] == [True, False]
