"""The bucket against a real S3 server."""

import asyncio
import http.client
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from runstream_server.config import BucketConfig
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import BucketUnavailable, ConfigurationError
from runstream_server.objectstore import Bucket, ObjectMissing, ReadAhead, open_bucket, read_on

LIFETIME = timedelta(minutes=5)
LARGE = bytes(range(256)) * 10_000


def request(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """Sends a request as a client of ours would, and returns the body of the answer; an error status fails."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers or {}))
        answer = connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 206):
            raise PermissionError(f"{answer.status} {content!r}")
        return content
    finally:
        connection.close()


@pytest.mark.parametrize("data", [b"", b"a", LARGE], ids=["empty", "small", "large"])
async def test_what_was_put_is_read(bucket: Bucket, data: bytes) -> None:
    await bucket.put("some/key", data)

    info = await bucket.head("some/key")

    assert await bucket.get("some/key") == data
    assert info is not None
    assert (info.key, info.size_bytes) == ("some/key", len(data))


async def test_a_large_object_is_read_in_bounded_chunks(bucket: Bucket) -> None:
    await bucket.put("key", LARGE)

    async with bucket.read("key") as chunks:
        sizes = [len(chunk) async for chunk in chunks]

    assert sum(sizes) == len(LARGE)
    assert max(sizes) <= 1 << 20


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 300), (256, None), (0, len(LARGE))])
async def test_a_range_of_an_object_is_read(bucket: Bucket, start: int, end: int | None) -> None:
    await bucket.put("key", LARGE)

    async with bucket.read("key", start=start, end=end) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == LARGE[start:end]


async def test_readers_that_stop_early_give_their_connections_back(bucket: Bucket) -> None:
    await bucket.put("key", LARGE)

    for _ in range(60):
        async with bucket.read("key") as chunks:
            assert await anext(chunks)

    assert await bucket.get("key") == LARGE


async def test_an_error_of_the_reader_stays_what_it_is(bucket: Bucket) -> None:
    await bucket.put("key", b"data")

    with pytest.raises(OSError, match="disk full"):
        async with bucket.read("key"):
            raise OSError("disk full")


async def test_an_object_that_is_not_there_is_told_apart(bucket: Bucket) -> None:
    assert await bucket.head("none") is None
    with pytest.raises(ObjectMissing):
        await bucket.get("none")


async def test_deleting_twice_changes_nothing(bucket: Bucket) -> None:
    await bucket.put("key", b"data")

    await bucket.delete("key")
    await bucket.delete("key")

    assert await bucket.head("key") is None


async def test_objects_are_listed_by_prefix(bucket: Bucket) -> None:
    for key in ("a/1", "a/2", "b/1"):
        await bucket.put(key, b"data")

    assert [each.key async for each in bucket.list("a/")] == ["a/1", "a/2"]
    assert [each.key async for each in bucket.list()] == ["a/1", "a/2", "b/1"]


async def test_presigned_parts_become_an_object(bucket: Bucket) -> None:
    parts_id = await bucket.begin_parts("key")
    for number, data in enumerate((LARGE * 3, b"end"), 1):
        put = await bucket.presign_part("key", parts_id, number, len(data), LIFETIME)
        request("PUT", put.url, data, put.headers)
    parts = await bucket.list_parts("key", parts_id)
    await bucket.complete_parts("key", parts_id, [parts[1].tag, parts[2].tag])

    assert {number: part.size_bytes for number, part in parts.items()} == {1: len(LARGE) * 3, 2: 3}
    assert await bucket.get("key") == LARGE * 3 + b"end"


async def test_a_presigned_part_refuses_another_size(bucket: Bucket) -> None:
    parts_id = await bucket.begin_parts("key")
    put = await bucket.presign_part("key", parts_id, 1, 5, LIFETIME)

    with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
        request("PUT", put.url, b"123456", put.headers)

    assert await bucket.list_parts("key", parts_id) == {}


async def test_nobody_can_send_a_part_when_the_object_is_there_or_given_up(bucket: Bucket) -> None:
    for end in ("complete", "abort"):
        parts_id = await bucket.begin_parts(end)
        put = await bucket.presign_part(end, parts_id, 1, 5, LIFETIME)
        request("PUT", put.url, b"12345", put.headers)
        if end == "complete":
            await bucket.complete_parts(end, parts_id, [(await bucket.list_parts(end, parts_id))[1].tag])
        else:
            await bucket.abort_parts(end, parts_id)
            await bucket.abort_parts(end, parts_id)

        with pytest.raises(PermissionError, match="NoSuchUpload"):
            request("PUT", put.url, b"54321", put.headers)
        with pytest.raises(ObjectMissing):
            await bucket.list_parts(end, parts_id)

    assert await bucket.get("complete") == b"12345"
    assert await bucket.head("abort") is None


async def test_what_was_begun_and_not_finished_is_listed_by_prefix(bucket: Bucket) -> None:
    for key in ("a/1", "a/2", "b/1"):
        await bucket.begin_parts(key)

    assert sorted([each.key async for each in bucket.list_unfinished("a/")]) == ["a/1", "a/2"]


async def test_an_object_that_is_shorter_than_it_was_is_damaged(bucket: Bucket) -> None:
    await bucket.put("key", b"12345")

    with pytest.raises(StoredBytesDamaged):
        _ = [chunk async for chunk in read_on(bucket, "key", 3, 9)]
    with pytest.raises(StoredBytesDamaged):
        await bucket.get("key", start=7, end=9)


async def test_a_presigned_get_reads_all_or_a_range(bucket: Bucket) -> None:
    await bucket.put("key with spaces/ü", LARGE)

    get = await bucket.presign_get("key with spaces/ü", LIFETIME)

    assert request("GET", get.url, headers=get.headers) == LARGE
    assert request("GET", get.url, headers={"Range": "bytes=10-19"}) == LARGE[10:20]


async def test_a_presigned_range_gives_no_other_bytes(bucket: Bucket) -> None:
    await bucket.put("key", LARGE)

    get = await bucket.presign_get("key", LIFETIME, start=10, end=20)

    assert request("GET", get.url, headers=get.headers) == LARGE[10:20]
    for headers in ({}, {"Range": "bytes=10-20"}):
        with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
            request("GET", get.url, headers=headers)


async def test_a_presigned_url_is_for_one_object(bucket: Bucket) -> None:
    await bucket.put("mine", b"data")
    await bucket.put("yours", b"data")

    get = await bucket.presign_get("mine", LIFETIME)

    with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
        request("GET", get.url.replace("mine", "yours"))


async def test_presigned_urls_lead_to_the_public_endpoint(bucket_config: BucketConfig) -> None:
    async with open_bucket(replace(bucket_config, public_endpoint="https://files.example.com")) as bucket:
        get = await bucket.presign_get("key", LIFETIME)

    assert get.url.startswith(f"https://files.example.com/{bucket_config.bucket}/key?")


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(hours=1, seconds=1)])
async def test_presigned_urls_live_for_an_hour_at_most(bucket: Bucket, lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="lives for up to"):
        await bucket.presign_get("key", lifetime)


async def test_a_store_that_does_not_answer_is_unavailable_and_named_at_start(bucket_config: BucketConfig) -> None:
    nobody = replace(bucket_config, endpoint="http://127.0.0.1:1", check_at_start=True)

    with pytest.raises(ConfigurationError, match=r"RUNSTREAM_S3_ENDPOINT: http://127\.0\.0\.1:1") as caught:
        async with open_bucket(nobody):
            pass

    assert isinstance(caught.value.__cause__, BucketUnavailable)


async def test_wrong_keys_are_named_at_start(bucket_config: BucketConfig) -> None:
    wrong = replace(bucket_config, secret_key="wrong", check_at_start=True)

    with pytest.raises(ConfigurationError, match="403"):
        async with open_bucket(wrong):
            pass


async def test_the_environment_does_not_change_the_settings(
    bucket_config: BucketConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async with open_bucket(bucket_config) as bucket:
        await bucket.put("key", b"data")

        assert await bucket.get("key") == b"data"


@pytest.mark.parametrize("parts", [[], [b"a"], [LARGE * 3, LARGE * 3, b"end"]], ids=["empty", "one", "three"])
async def test_an_object_stored_part_by_part_is_seen_when_it_is_finished(bucket: Bucket, parts: list[bytes]) -> None:
    upload = bucket.upload("key")
    for part in parts:
        await upload.write(part)
    assert await bucket.head("key") is None
    await upload.finish()

    assert await bucket.get("key") == b"".join(parts)


async def test_discarding_removes_an_object_and_parts_of_it_but_no_other(bucket: Bucket) -> None:
    await bucket.put("key2", b"stays")
    await bucket.put("key", b"goes")
    upload = bucket.upload("key")
    for part in (LARGE * 3, LARGE):
        await upload.write(part)
    await bucket.discard("key")
    await bucket.discard("key")

    with pytest.raises(BucketUnavailable):
        await upload.finish()
    assert [each.key async for each in bucket.list()] == ["key2"]


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (12 << 20) + 5])
@pytest.mark.parametrize("requests", [1, 3])
async def test_several_requests_at_a_time_read_the_same_bytes(bucket: Bucket, size: int, requests: int) -> None:
    data = (LARGE * (size // len(LARGE) + 1))[:size]
    await bucket.put("key", data)
    ahead = ReadAhead(bucket, requests)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in ahead.read("key", size)])

    assert await asyncio.gather(*(read() for _ in range(5))) == [data] * 5


async def test_who_stops_reading_ahead_leaves_room_for_others(bucket: Bucket) -> None:
    await bucket.put("key", LARGE * 5)
    ahead = ReadAhead(bucket, 4)
    for _ in range(12):
        async with aclosing(ahead.read("key", len(LARGE) * 5)) as chunks:
            assert await anext(chunks)
    with pytest.raises(StoredBytesDamaged):
        _ = [chunk async for chunk in ahead.read("key", len(LARGE) * 6)]

    assert b"".join([chunk async for chunk in ahead.read("key", len(LARGE) * 5)]) == LARGE * 5
