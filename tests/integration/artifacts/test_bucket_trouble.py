"""P14: a bucket in trouble delays what is asked of the service; it loses nothing, and nothing wrong is served."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.config import Config
from tests.append_clients import failure_of, failure_of_stream
from tests.artifact_calls import PART_BYTES, Calls, file_entry, put, sha256
from tests.bucket_proxy import BucketProxy, Trouble, bucket_proxy
from tests.conftest import Backend, serve
from tests.make_runs import WORKSPACE, make_run

ANY = (Trouble.SLOW_DOWN, Trouble.ERROR, Trouble.TRUNCATED, Trouble.RESET, Trouble.LOST, Trouble.SLOW)


@pytest.fixture
async def troubled(config: Config) -> AsyncIterator[tuple[Backend, BucketProxy]]:
    """The services, whose way to the bucket leads through a proxy; that of clients does not."""
    with bucket_proxy(config.bucket.endpoint) as proxy:
        bucket = replace(config.bucket, endpoint=proxy.endpoint)
        async with serve(replace(config, bucket=bucket)) as backend:
            yield backend, proxy


@pytest.fixture
async def calls(troubled: tuple[Backend, BucketProxy]) -> Calls:
    await make_run(troubled[0].channel)
    return Calls(troubled[0].channel)


RUN = f"{WORKSPACE}/runs/run"


async def _insist(call: Callable[[], Awaitable[object]]) -> None:
    """Calls until it succeeds, as clients do."""
    for _ in range(10):
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - anything else is no passing trouble
        else:
            return
    raise AssertionError("it never succeeded")


@pytest.mark.parametrize("trouble", ANY[:1] + ANY[2:5], ids=lambda each: each.name)
async def test_one_answer_that_goes_wrong_is_not_noticed(
    calls: Calls, troubled: tuple[Backend, BucketProxy], trouble: Trouble
) -> None:
    _, proxy = troubled
    data = random.Random(1).randbytes(PART_BYTES + 77)
    begun = await calls.begin(data, multipart=True)
    await calls.put_parts(begun.upload_id, data, [1])
    proxy.troubles.append(trouble)
    await calls.relay(begun.upload_id, [data[PART_BYTES:]], PART_BYTES)
    proxy.troubles.extend([trouble, None, None, trouble])
    await calls.complete(begun.upload_id)
    proxy.troubles.clear()
    proxy.troubles.append(trouble)
    small = await calls.store(b"one", b"two")
    await calls.bind(RUN, {"large": sha256(data), "small": small[1]})
    proxy.troubles.append(trouble)
    assert await calls.read(RUN, "large") == data
    proxy.troubles.append(trouble)
    assert await calls.read(RUN, "small") == b"two"


@pytest.mark.parametrize("done", [1, 2])
async def test_a_completion_whose_answers_are_lost_is_found_done(
    calls: Calls, troubled: tuple[Backend, BucketProxy], done: int
) -> None:
    """Of what the service asks the bucket, listing parts and making them an object, so much is answered."""
    _, proxy = troubled
    begun = await calls.begin(b"data")
    await put(begun.url, begun.headers, b"data")
    proxy.troubles.extend([*[None] * done, *[Trouble.LOST] * 4])
    await _insist(lambda: calls.complete(begun.upload_id))

    assert await calls.missing([sha256(b"data")]) == []


async def test_a_bucket_that_stays_away_is_said_to_be_and_what_is_known_is_answered(
    calls: Calls, troubled: tuple[Backend, BucketProxy]
) -> None:
    _, proxy = troubled
    await calls.bind(RUN, {"a": (await calls.store(b"here"))[0]})
    proxy.chance = lambda: Trouble.SLOW_DOWN
    begin = messages.BeginUploadRequest(parent=WORKSPACE, digest=sha256(b"new"), size_bytes=3)
    batch = messages.BatchUploadBlobsRequest(parent=WORKSPACE, blobs=[messages.SmallBlob(data=b"0")])
    failures = await asyncio.gather(
        failure_of(calls.stub.BeginUpload(begin)), failure_of(calls.stub.BatchUploadBlobs(batch))
    )

    assert {(each.code, each.reason) for each in failures} == {(grpc.StatusCode.UNAVAILABLE, "BUCKET_UNAVAILABLE")}
    assert await calls.missing([sha256(b"here"), sha256(b"0")]) == [sha256(b"0")]
    assert await calls.listed(RUN) == ["a"]
    proxy.chance = lambda: None
    assert await calls.read(RUN, "a") == b"here"
    assert await calls.store(b"0") == [sha256(b"0")]


@pytest.mark.parametrize(
    ("trouble", "reason"), [(Trouble.FORBIDDEN, "BUCKET_REFUSED"), (Trouble.SKEWED, "BUCKET_CLOCK_SKEWED")]
)
async def test_a_bucket_that_refuses_the_services_is_told_with_what_to_do(
    calls: Calls, troubled: tuple[Backend, BucketProxy], trouble: Trouble, reason: str
) -> None:
    _, proxy = troubled
    await calls.bind(RUN, {"a": (await calls.store(b"here"))[0]})
    proxy.chance = lambda: trouble
    begin = messages.BeginUploadRequest(parent=WORKSPACE, digest=sha256(b"new"), size_bytes=3)
    read = messages.ReadArtifactRequest(run=RUN, path="a")
    failures = [
        await failure_of(calls.stub.BeginUpload(begin)),
        await failure_of_stream(calls.stub.ReadArtifact(read)),
    ]

    assert [(each.code, each.reason) for each in failures] == [(grpc.StatusCode.UNAVAILABLE, reason)] * 2
    proxy.chance = lambda: None
    assert await calls.read(RUN, "a") == b"here"


async def test_everything_is_kept_while_a_third_of_all_answers_go_wrong(
    calls: Calls, troubled: tuple[Backend, BucketProxy]
) -> None:
    _, proxy = troubled
    choice = random.Random(5)
    kept: dict[str, bytes] = {}
    proxy.chance = lambda: choice.choice(ANY) if choice.random() < 0.3 else None

    async def keep(number: int) -> None:
        data = random.Random(number).randbytes(random.Random(number).randrange(300_000))
        await _insist(lambda: calls.store(data, b"%d" % number))
        await calls.bind(RUN, {str(number): sha256(data)})
        kept[str(number)] = data

    await asyncio.gather(*(keep(number) for number in range(12)))
    proxy.chance = lambda: None
    made = await calls.snapshot([file_entry(path, data) for path, data in kept.items()])

    assert made.snapshot.file_count == 12
    for path, data in kept.items():
        assert await calls.read(RUN, path) == data
