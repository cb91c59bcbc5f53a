"""Garbage collection while clients go on: whatever comes in between, nothing that somebody relies on goes."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from itertools import combinations

import pytest

from runstream_server.artifacts.model import Parts
from runstream_server.names import WorkspaceName
from tests.artifact_calls import sha256
from tests.artifact_rules import GRACE, RUN, SPACE, Service

WAITS_FOR_A_LOCK = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""

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


async def test_an_object_that_is_found_damaged_while_it_is_sent_again_is_deleted(service: Service) -> None:
    await service.store(b"data")
    (damaged,) = await service.keys()
    name = WorkspaceName("other")
    upload = (await service.uploads.begin(name, sha256(b"data"), Parts.cut(4, multipart=True))).upload
    await service.bucket.put_part(upload.object, upload.parts_id, 1, b"data")
    async with asyncio.timeout(30.0):
        async with service.postgres.transaction() as connection:
            await connection.execute("UPDATE artifacts.content SET damage_time = now()")
            completing = asyncio.create_task(service.uploads.complete(name, upload.upload_id, None))
            while not await service.postgres.fetchval(WAITS_FOR_A_LOCK):
                pass
        await completing
    await service.collector.garbage.delete_all()

    assert await service.keys() == [upload.object] != [damaged]
    assert await service.read(b"data") == b"data"
