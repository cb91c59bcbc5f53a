"""What is logged stays where the services refuse the token, and goes on when there is another one."""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

import pytest

from runstream._spool import RunSpool
from runstream._spool.artifacts import IMAGE
from runstream._spool.records import EndOfRun
from runstream._spool.tokens import forget_tokens, noted_token, tokens_folder
from runstream.api.artifacts.v1.artifact_service_pb2 import ListArtifactsRequest
from runstream.api.logs.v1.log_service_pb2 import ListLogsRequest
from runstream.api.runs.v1.run_history_service_pb2 import CompleteRunRequest, GetRunRequest
from runstream.api.runs.v1.run_pb2 import RUN_STATUS_COMPLETED
from runstream.exceptions import AzureMLException
from runstream_server.auth import Role
from tests import stubs
from tests.conditions import until
from tests.integration.tokens.conftest import Guarded, Issued
from tests.make_runs import make_run
from tests.spools import Spools, values

SECONDS = 30.0


@pytest.fixture
async def run(guarded: Guarded, request: pytest.FixtureRequest) -> str:
    """A run of this test's own."""
    return await make_run(guarded.channel, request.node.name[:200])


async def flushed(spool: RunSpool) -> None:
    await asyncio.to_thread(spool.flush, SECONDS)


def is_stopped(spool: RunSpool) -> bool:
    return any(each.is_stopped for each in spool._consignments())


async def refused(spool: RunSpool) -> str:
    """Waits until a flush says that the token is refused; what it says."""
    with pytest.raises(AzureMLException) as caught:
        await flushed(spool)
    return caught.value.message


async def test_what_a_revoked_token_logged_is_kept_and_told_and_synced_with_another_one(
    guarded: Guarded, writer: Issued, run: str, machine: Spools, caplog: pytest.LogCaptureFixture
) -> None:
    spool = machine.open(run, guarded.address)
    spool.log("loss", 0.5)
    await flushed(spool)
    await guarded.tokens.revoke(writer.name)
    await until(lambda: is_stopped(spool))
    with caplog.at_level(logging.WARNING, "runstream"):
        spool.log("loss", 0.25)
        message = await refused(spool)
    spool.finish()

    assert "TOKEN_REVOKED" in message
    assert "runstream token create" in message
    assert "stays on this machine until there is another token" in caplog.text
    assert writer.secret not in message + caplog.text
    assert machine.left()
    assert await values(guarded.channel, run, "loss") == [0.5]
    other = await guarded.issue()
    assert await synced(machine, other) == 0
    assert await values(guarded.channel, run, "loss") == [0.5, 0.25]
    assert not machine.left()


async def synced(machine: Spools, issued: Issued) -> int:
    """Uploads what is left by the command line of somebody with another token; the exit code."""
    machine.kill_uplinks()
    program = str(Path(sys.executable).with_name("runstream"))
    environment = {**os.environ, "RUNSTREAM_TOKEN": issued.secret}
    process = await asyncio.create_subprocess_exec(program, "sync", env=environment)
    return await process.wait()


async def test_a_token_file_that_is_written_anew_lets_a_writer_go_on(
    guarded: Guarded, run: str, machine: Spools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, bad, good = tmp_path / "token", await guarded.issue(Role.READER), await guarded.issue()
    file.write_text(bad.secret)
    monkeypatch.setenv("RUNSTREAM_TOKEN_FILE", str(file))
    spool = machine.open(run, guarded.address)
    spool.log("loss", 0.5)
    assert "ROLE_TOO_SMALL" in await refused(spool)

    file.write_text(good.secret)
    await until(lambda: not is_stopped(spool))
    await flushed(spool)

    assert await values(guarded.channel, run, "loss") == [0.5]


async def test_another_writer_that_comes_with_a_token_takes_what_was_left_along(
    guarded: Guarded, writer: Issued, run: str, machine: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    await guarded.tokens.revoke(writer.name)
    spool = machine.open(run, guarded.address)
    spool.log("loss", 0.5)
    await refused(spool)
    spool.finish()
    await until(lambda: not machine.uplinks())

    monkeypatch.setenv("RUNSTREAM_TOKEN", (await guarded.issue()).secret)
    other = machine.open(await make_run(guarded.channel, "another-run"), guarded.address)
    other.log("loss", 1.0)
    await flushed(other)
    other.finish()
    await machine.carried()

    assert await values(guarded.channel, run, "loss") == [0.5]


async def test_one_uplink_carries_writers_with_tokens_of_different_runs(
    guarded: Guarded, machine: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    spools = []
    for number in range(3):
        run = await make_run(guarded.channel, f"with-own-token-{number}")
        issued = await guarded.issue(Role.RUN, run=run.rpartition("/")[2])
        monkeypatch.setenv("RUNSTREAM_TOKEN", issued.secret)
        spools.append(machine.open(run, guarded.address))
        spools[-1].log("loss", float(number))

    for spool in spools:
        await flushed(spool)

    assert len(machine.uplinks()) == 1


async def test_logs_and_the_end_of_a_run_wait_for_a_token_too(
    guarded: Guarded, writer: Issued, run: str, machine: Spools, tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    log.write_text("text\n")
    await guarded.tokens.revoke(writer.name)
    spool = machine.open(run, guarded.address)
    spool.follow_file("user_logs/std_log.txt", log)
    assert "TOKEN_REVOKED" in await refused(spool)
    request = CompleteRunRequest(name=run).SerializeToString()
    spool.end_run(EndOfRun("CompleteRun", time.time_ns() // 1000, request, []))

    assert await synced(machine, await guarded.issue()) == 0
    ended = await stubs.run_history(guarded.channel).GetRun(GetRunRequest(name=run))
    assert ended.run.status == RUN_STATUS_COMPLETED
    found = await stubs.logs(guarded.channel).ListLogs(ListLogsRequest(parent=run))
    assert [each.path for each in found.logs] == ["user_logs/std_log.txt"]


async def test_an_image_waits_for_a_token_too(
    guarded: Guarded, writer: Issued, run: str, machine: Spools, tmp_path: Path
) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(b"picture")
    await guarded.tokens.revoke(writer.name)
    spool = machine.open(run, guarded.address)
    spool.log_artifact("image", IMAGE, "image.png", image)
    assert "TOKEN_REVOKED" in await refused(spool)
    spool.finish()

    assert await synced(machine, await guarded.issue()) == 0
    listed = await stubs.artifacts(guarded.channel).ListArtifacts(ListArtifactsRequest(parent=run))
    assert [each.path for each in listed.artifacts] == ["image.png"]


async def test_a_spool_names_its_token_and_does_not_have_it(
    guarded: Guarded, writer: Issued, run: str, machine: Spools
) -> None:
    spool = machine.open(run, guarded.address)
    spool.log("loss", 0.5)
    (note,) = tokens_folder().iterdir()

    (file,) = machine.left()
    assert writer.secret.encode() not in file.read_bytes()
    assert note.stat().st_mode & 0o777 == 0o600
    assert noted_token(note.name, guarded.address).secret == writer.secret
    assert not noted_token(note.name, "127.0.0.1:1").secret
    os.utime(note, (0, 0))
    forget_tokens(machine.root, [note.name])
    assert note.exists()
    forget_tokens(machine.root / "other", [])
    assert note.exists()
    forget_tokens(machine.root, [])
    assert not note.exists()
