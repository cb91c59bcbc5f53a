"""Files of runs over HTTP."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.config import Config
from runstream_server.gateway_config import GatewayConfig
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.artifact_calls import Calls
from tests.conditions import until_answered
from tests.conftest import Backend, serve
from tests.gateway_files import FILES, Files, files_of
from tests.gateways import Gateway, open_gateway
from tests.make_runs import make_run

MIB = 1 << 20


async def in_pieces(data: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    """A body without a length."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def break_off(files: Files, path: str, headers: Sequence[str], sent: bytes) -> bytes:
    """Sends the beginning of a body and closes that direction; what is answered until the connection ends."""
    parts = urlsplit(files.gateway.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = [f"PUT {parts.path}{FILES}/{files.root}/{path} HTTP/1.1", f"Host: {parts.netloc}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + sent)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    return await reader.read()


async def test_what_is_put_comes_back_with_and_without_a_length(files: Files) -> None:
    for size in (0, 1, MIB, MIB + 1, 9 * MIB):
        data, other = (random.Random(size + seed).randbytes(size) for seed in (0, 1))
        (await files.put(f"outputs/ä b+%41 {size}", data)).found()
        assert await files.content(f"outputs/ä b+%41 {size}") == data
        (await files.put(f"chunked {size}", in_pieces(other, 3_000_000))).found()
        assert await files.content(f"chunked {size}") == other


async def test_a_file_that_is_sent_on_in_pieces_comes_back(files: Files) -> None:
    data = random.Random(1).randbytes(MIB) * 65 + b"end"

    (await files.put("large", data)).found()
    assert await files.content("large") == data


async def test_a_file_comes_as_something_to_save_and_not_to_show(files: Files) -> None:
    await files.put("a/page ä.html", b"<script>")
    status, _, headers = await files.get("a/page ä.html")

    assert status == 200
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''page%20%C3%A4.html"
    assert (headers["X-Content-Type-Options"], headers["Content-Type"]) == ("nosniff", "application/octet-stream")
    assert headers["Content-Security-Policy"].startswith("sandbox")


async def test_ranges_of_a_file(files: Files) -> None:
    data = random.Random(1).randbytes(1_000_000)
    await files.put("data", data)
    tag = f'"{hashlib.sha256(data).hexdigest()}"'

    for asked, part in {
        "bytes=0-0": data[:1],
        "bytes=5-600004": data[5:600_005],
        "bytes=999999-": data[-1:],
        "bytes=500000-9999999": data[500_000:],
        "bytes=-7": data[-7:],
        "bytes=-2000000": data,
    }.items():
        status, found, headers = await files.get("data", Range=asked)
        start = len(data) - len(part) if asked.startswith("bytes=-") else int(asked[6:].partition("-")[0])
        assert (status, found) == (206, part), asked
        assert headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/1000000"
    for asked in ("bytes=1000000-", "bytes=-0"):
        status, _, headers = await files.get("data", Range=asked)
        assert (status, headers["Content-Range"]) == (416, "bytes */1000000")
    for asked in ("bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=-"):
        assert (await files.get("data", Range=asked))[:2] == (200, data)
    assert (await files.get("data", Range="bytes=0-0", **{"If-Range": tag}))[0] == 206
    assert (await files.get("data", Range="bytes=0-0", **{"If-Range": '"other"'}))[:2] == (200, data)
    assert (await files.get("none", Range="bytes=0-0"))[0] == 404


async def test_a_file_is_replaced_and_the_same_one_may_come_again(files: Files) -> None:
    for data in (b"one", b"one", b"two" * MIB, b"one"):
        (await files.put("a", data)).found()
        assert await files.content("a") == data
    answers = await asyncio.gather(*(files.put("a", bytes([n])) for n in range(4)))

    assert [answer.status for answer in answers] == [200] * 4
    assert await files.content("a") in {bytes([n]) for n in range(4)}


async def test_folders_are_listed_by_names_and_by_paths(gateway: Gateway, files: Files) -> None:
    for path in ("b", "a/x", "a/y/z", "a.txt", "models/m-notes/card"):
        await files.put(path, path.encode())

    assert await files.listed() == [("a", None), ("a.txt", 5), ("b", 1), ("models", None)]
    assert await files.listed("a") == await files.listed("a/") == [("x", 3), ("y", None)]
    assert await files.listed("nothing") == await files.listed("b") == []
    listed = (await gateway.get("artifacts/list", run_id="run", path="a")).found()
    assert listed["files"] == [
        {"path": "a/x", "is_dir": False, "file_size": 3},
        {"path": "a/y", "is_dir": True},
    ]
    assert listed["root_uri"] == f"mlflow-artifacts:/{files.root}"
    assert (await gateway.get("artifacts/list", run_id="none")).error[2] == "Run with id=none not found"


async def test_a_run_is_listed_in_pages(gateway: Gateway, files: Files, backend: Backend) -> None:
    calls = Calls(backend.channel)
    (digest,) = await calls.store(b"")
    for start in (0, 600):
        await calls.bind("workspaces/space/runs/run", {f"{n:04}": digest for n in range(start, start + 600)})

    first = (await gateway.get("artifacts/list", run_id="run")).found()
    rest = (await gateway.get("artifacts/list", run_id="run", page_token=first["next_page_token"])).found()

    assert [each["path"] for each in first["files"] + rest["files"]] == [f"{n:04}" for n in range(1_200)]
    assert "next_page_token" not in rest
    assert len(await files.listed()) == 1_200
    wrong = await gateway.get("artifacts/list", run_id="run", path="a", page_token=first["next_page_token"])
    assert wrong.error[:2] == (400, "INVALID_PARAMETER_VALUE")


async def test_files_and_folders_are_deleted_and_what_is_not_there_is_too(files: Files) -> None:
    for path in ("a/x", "a/y/z", "ab", "b", "models/x"):
        await files.put(path, b"1")
    for gone, left in (("a", ["ab", "b", "models"]), ("a", ["ab", "b", "models"]), ("b", ["ab", "models"]), ("", [])):
        (await files.delete(gone)).found()
        assert [name for name, _ in await files.listed()] == left


async def test_no_path_leads_out_of_a_run(files: Files) -> None:
    for path in (
        "../x", "a/../../x", "%2e%2e/x", "a/%2E%2e/x", "%252e%252e/x", "%25252e%25252e%25252fx", "..%2fx", "..%5cx",
        "a/./b", "a//b", "%2fetc/passwd", "/etc/passwd", "C:/x", "c%3A/x", "c%253a%5cx", "a%5cb", "a%255cb", "a\\b",
        "a%00b", "a%2500b", "a%0ab", "%ff", "x" * 1_025, "%252525252525252e",
    ):  # fmt: skip
        for method in ("GET", "PUT", "DELETE"):
            status, body, _ = await files.ask(method, f"{files.root}/{path}")
            assert (status, b'"Invalid path"' in body) == (400, True), (method, path, body)


async def test_no_path_of_a_listing_leads_out_of_a_run(gateway: Gateway, files: Files) -> None:
    for path in ("..", "a/../b", "%2e%2e", "/", "a//b", "C:/", "a\\b", "a\0b"):
        answer = await gateway.request("GET", FILES, params={"path": f"{files.root}/{path}"})
        assert answer.error == (400, "INVALID_PARAMETER_VALUE", "Invalid path"), path
        listed = await gateway.get("artifacts/list", run_id="run", path=path)
        assert listed.error[:2] == (400, "INVALID_PARAMETER_VALUE"), path


async def test_what_is_named_must_be_there_and_belong_together(backend: Backend, files: Files) -> None:
    number, _, rest = files.root.partition("/")
    for root, status in (
        (f"{int(number) + 1}/{rest}", 404),
        (f"0{number}/{rest}", 404),
        (f"{number}/none/artifacts", 404),
        (f"{number}/models/m-{'0' * 32}/artifacts", 404),
        (f"{number}/run", 400),
        ("run/artifacts", 400),
    ):
        for method in ("GET", "PUT", "DELETE"):
            assert (await files.ask(method, f"{root}/x"))[0] == status, (method, root)
    assert (await files.get("nothing"))[0] == 404
    assert (await files.put("", b"x")).status == 400
    await make_run(backend.channel, "models")
    of_models = replace(files, root=f"{number}/models/artifacts")
    await of_models.put("x", b"1")
    assert await of_models.content("x") == b"1"


async def test_a_deleted_run_is_read_but_not_written(backend: Backend, files: Files) -> None:
    await files.put("a", b"1")
    request = messages.DeleteRunsRequest(parent="workspaces/space", names=["workspaces/space/runs/run"])
    await stubs.run_history(backend.channel).DeleteRuns(request)

    problem = "The run run must be in the 'active' state. Current state is deleted."
    assert (await files.put("a", b"2")).error == (400, "INVALID_PARAMETER_VALUE", problem)
    assert (await files.delete("a")).error == (400, "INVALID_PARAMETER_VALUE", problem)
    assert await files.content("a") == b"1"


async def test_of_a_body_that_breaks_off_nothing_is_stored(files: Files, postgres: Postgres) -> None:
    async def no_upload_is_left() -> bool:
        return not await postgres.fetchval("SELECT count(*) FROM artifacts.upload")

    for size in (1_000, 2 * MIB):
        sent, chunk = bytes(size), f"{size:x}\r\n".encode()
        assert await break_off(files, "a", [f"Content-Length: {size + 1}"], sent) == b""
        assert await break_off(files, "b", ["Transfer-Encoding: chunked"], chunk + sent) == b""
        assert await break_off(files, "c", ["Transfer-Encoding: chunked"], chunk + sent + b"\r\n") == b""
    assert await break_off(files, "d", [f"Content-Length: {65 * MIB}"], bytes(64 * MIB + 1)) == b""
    await until_answered(no_upload_is_left)

    assert await files.listed() == []


async def test_a_damaged_file_breaks_the_connection(files: Files, bucket: Bucket) -> None:
    data = random.Random(3).randbytes(20 * MIB)
    await files.put("a", data)
    digest = hashlib.sha256(data).hexdigest()
    (key,) = [each.key async for each in bucket.list("blobs/") if "unnamed" in each.key or digest in each.key]
    await bucket.put(key, data[: 19 * MIB] + b"?" + data[19 * MIB + 1 :])
    with pytest.raises(aiohttp.ClientPayloadError):
        await files.get("a")
    await bucket.put(key, data[: 19 * MIB])
    with suppress(aiohttp.ClientPayloadError):
        assert (await files.get("a"))[0] == 500


async def test_clients_that_read_nothing_do_not_keep_others_from_reading(files: Files) -> None:
    data = random.Random(4).randbytes(MIB) * 20
    await files.put("a", data)
    url = f"{files.gateway.url}{FILES}/{files.root}/a"
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(files.gateway.session.get(url)) for _ in range(17)]

        assert await files.content("a") == data
        assert await idle[0].read() == data
        await files.put("a", data[1:])
        for each in idle[1:3]:
            with pytest.raises(aiohttp.ClientPayloadError):
                await each.read()
        assert await files.content("a") == data[1:]


async def test_a_body_without_a_length_has_a_limit_and_one_with_a_length_none(config: Config) -> None:
    small = replace(config, gateway=GatewayConfig(port=0, spool_bytes=2 * MIB))
    async with serve(small) as served, open_gateway(served.channel) as gateway:
        await make_run(served.channel)
        files = await files_of(gateway, "run")

        (await files.put("a", in_pieces(bytes(2 * MIB)))).found()
        refused = await files.put("b", in_pieces(bytes(2 * MIB + 1)))
        assert refused.error[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert "RUNSTREAM_GATEWAY_SPOOL_BYTES" in refused.error[2]
        assert await files.listed() == [("a", 2 * MIB)]


async def test_a_small_file_that_is_not_there_any_more_is_an_error(files: Files, bucket: Bucket) -> None:
    await files.put("a", b"1")
    for key in [each.key async for each in bucket.list("")]:
        await bucket.delete(key)

    status, body, _ = await files.get("a")
    assert (status, b"DATA_LOSS" in body) == (500, True)


async def test_clients_of_grpc_see_the_same_files(files: Files, backend: Backend) -> None:
    await files.put("a/b", b"1")
    calls = Calls(backend.channel)

    assert await calls.read("workspaces/space/runs/run", "a/b") == b"1"
    assert await calls.listed("workspaces/space/runs/run") == ["a/b"]
