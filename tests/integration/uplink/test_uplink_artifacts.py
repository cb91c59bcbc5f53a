"""Images and charts arrive, each once and in order, whatever is killed; and no number waits for them."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from runstream._spool.artifacts import CONFUSION_MATRIX, IMAGE, staged
from runstream._spool.launch import ensure_uplink
from runstream._spool.places import files_of, group_folder
from runstream._spool.room import LIMIT_VARIABLE
from runstream._spool.writer import SpoolWriter
from runstream.api.artifacts.v1.artifact_service_pb2 import ListArtifactsRequest
from runstream.exceptions import AzureMLException
from runstream_server.config import Config
from tests import stubs
from tests.conftest import Backend, serve
from tests.make_runs import make_run
from tests.spools import Spools, columns, has_stored, script, until, values, warnings

FLUSH_SECONDS = 30.0

PART = 1_000
LOGGED = 3_100
IMAGE_COUNT = 150
LOGGING = f"""
import sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:])
for number, _ in enumerate(sys.stdin):
    spool.log("loss", float(number))
    if number < {IMAGE_COUNT}: spool.log_artifact("image", 1, f"image_{{number % 7}}.png", b"%d" % number)
    print(number)
"""


async def paths(backend: Backend, run: str, metric: str) -> list[str]:
    """What the references of a metric say, in order."""
    found = [each for each in await columns(backend.channel, run) if each.metric == metric]
    return [path for each in found for path in each.artifacts.paths]


async def digests(backend: Backend, run: str) -> dict[str, str]:
    """The files of a run."""
    response = await stubs.artifacts(backend.channel).ListArtifacts(ListArtifactsRequest(parent=run, page_size=10_000))
    return {artifact.path: artifact.digest for artifact in response.artifacts}


async def test_artifacts_arrive_and_nothing_is_left(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    spool.log_artifact("image", IMAGE, "a.png", b"a", "a picture")
    spool.log_artifact("matrix", CONFUSION_MATRIX, "matrix", b"{}")
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    assert await paths(backend, run, "image") == ["a.png"]
    assert await digests(backend, run) == {"a.png": sha256(b"a").hexdigest(), "matrix": sha256(b"{}").hexdigest()}
    spool.finish()
    await until(lambda: {path.name for path in spools.root.glob("*/*")} <= {"uplink.lock", "uplink.log"})


async def test_files_of_one_name_and_other_bytes_are_all_kept(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    contents = [b"first", b"second", b"third", b"first"]
    for content in contents:
        spool.log_artifact("image", IMAGE, "plots/a.png", content)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    logged = await paths(backend, run, "image")
    stored = await digests(backend, run)
    assert [stored[path] for path in logged] == [sha256(content).hexdigest() for content in contents]
    assert logged[0] == logged[3] == "plots/a.png"
    assert all(path.startswith("plots/a_") and path.endswith(".png") for path in logged[1:3])


async def test_kills_of_script_and_uplink_lose_and_double_nothing(backend: Backend, run: str, spools: Spools) -> None:
    async with script(LOGGING, run, backend.address) as logging:
        for kills in range(2):
            await logging.step(20)
            await logging.stepping(has_stored(backend.channel, run, "image", 10 * kills))
            await logging.stepping(spools.kill_uplink())
        await logging.kill_amid(1_000, after=20)
    spools.open(await make_run(backend.channel, "other"), backend.address).log("x", 1)  # starts an uplink
    await until(lambda: len(spools.left()) == 1)

    logged, stored = await paths(backend, run, "image"), await digests(backend, run)
    found = [stored[path] for path in logged]
    assert found == [sha256(b"%d" % number).hexdigest() for number in range(len(found))]
    assert len(found) > min(int(logging.last_line), IMAGE_COUNT - 1)


async def test_numbers_do_not_wait_for_a_bucket_that_is_away(config: Config, spools: Spools) -> None:
    lost = replace(config, bucket=replace(config.bucket, endpoint="http://127.0.0.1:9"))
    async with serve(lost) as backend:
        run = await make_run(backend.channel)
        spool = spools.open(run, backend.address)
        spool.log_artifact("image", IMAGE, "a.png", b"a")
        spool.log("loss", 1.0)
        with pytest.raises(AzureMLException, match="could not be flushed"):
            await asyncio.to_thread(spool.flush, 3.0)
        await has_stored(backend.channel, run, "loss", 1)
        assert await values(backend.channel, run, "loss") == [1.0]
        port = int(backend.address.rpartition(":")[2])
    async with serve(replace(config, server=replace(config.server, port=port))) as backend:
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
        assert await paths(backend, run, "image") == ["a.png"]


async def test_numbers_of_the_next_spools_do_not_wait_for_the_bucket_and_images_keep_their_order(
    config: Config, spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "100KiB")  # then a spool has 25 KiB, a little less than a part
    lost = replace(config, bucket=replace(config.bucket, endpoint="http://127.0.0.1:9"))
    async with serve(lost) as backend:
        run = await make_run(backend.channel)
        spool = spools.open(run, backend.address)
        for part in range(3):
            if part != 1:  # the next but one has to wait for the first too
                spool.log_artifact("image", IMAGE, f"{part}.png", b"%d" % part)
            for number in range(PART):
                spool.log("loss", float(PART * part + number))
            spool._tend_safely()
        assert len(spools.left()) >= 4  # more where the machine is slow: a process looks after its spool every second
        await has_stored(backend.channel, run, "loss", 3 * PART)
        await spools.kill_uplink()
        for number in range(3 * PART, LOGGED):
            spool.log("loss", float(number))
        spool.finish()
        await has_stored(backend.channel, run, "loss", LOGGED)
        assert await values(backend.channel, run, "loss") == [float(number) for number in range(LOGGED)]
        port = int(backend.address.rpartition(":")[2])
    async with serve(replace(config, server=replace(config.server, port=port))) as backend:
        await spools.carried()
        assert await paths(backend, run, "image") == ["0.png", "2.png"]


async def test_a_lost_file_is_told_and_holds_up_nothing(backend: Backend, run: str, spools: Spools) -> None:
    writer = SpoolWriter(group_folder(backend.address), run, backend.address)
    for number in (1, 2, 3):
        with staged(writer.path.parent, b"%d" % number) as file:
            writer.add_artifact(file, "image", IMAGE, f"{number}.png", number, "")
    (files_of(writer.path) / "2").unlink()
    writer.finish()
    ensure_uplink(writer.path.parent)
    await spools.carried()

    assert await paths(backend, run, "image") == ["1.png", "3.png"]
    (warning,) = await warnings(backend.channel, run)
    assert "FILE_LOST" in warning


async def test_a_run_that_does_not_exist_keeps_the_files(backend: Backend, spools: Spools) -> None:
    spool = spools.open("workspaces/space/runs/unknown", backend.address)
    spool.log_artifact("image", IMAGE, "a.png", b"a")
    with pytest.raises(AzureMLException, match=r"not carried up any more: .*(RUN|WORKSPACE)_NOT_FOUND"):
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    (left,) = spools.left()
    assert (files_of(left) / "1").read_bytes() == b"a"
    await spools.no_uplink()


async def test_what_the_services_do_not_take_is_told(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    spool.log_artifact("image", IMAGE, "../a.png", b"a")
    spool.log_artifact("image", IMAGE, "b.png", b"b")
    with pytest.raises(AzureMLException, match=r"1 of metric 'image' .*was not uploaded"):
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    assert await paths(backend, run, "image") == ["b.png"]
    spool.finish()
    await spools.carried()
    (warning,) = await warnings(backend.channel, run)
    assert "Values of metric 'image' are not stored" in warning
