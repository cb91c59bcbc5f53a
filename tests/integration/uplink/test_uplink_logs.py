"""Local files become logs of a run while they grow."""

import asyncio
from pathlib import Path

import pytest

from runstream.api.logs.v1.log_service_pb2 import ListLogsRequest, LogFile
from tests import stubs
from tests.conftest import Backend
from tests.spools import Spools, log_text, until, warnings

FLUSH_SECONDS = 30.0
LOG = "user_logs/std_log.txt"


async def logs_of(backend: Backend, run: str) -> dict[str, LogFile]:
    response = await stubs.logs(backend.channel).ListLogs(ListLogsRequest(parent=run))
    return {log.path: log for log in response.logs}


async def test_a_file_is_followed_as_it_grows(backend: Backend, run: str, spools: Spools, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    file.write_bytes(b"before\n")
    spool = spools.open(run, backend.address)
    spool.follow_file(LOG, file)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    assert await log_text(backend.channel, run, LOG) == b"before\n"

    with file.open("ab") as grown:
        grown.write(b"after\n")
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    assert await log_text(backend.channel, run, LOG) == b"before\nafter\n"
    assert not (await logs_of(backend, run))[LOG].finished


async def test_growth_arrives_without_a_flush(backend: Backend, run: str, spools: Spools, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    spool = spools.open(run, backend.address)
    spool.follow_file(LOG, file)
    for text in (b"one\n", b"two\n"):
        with file.open("ab") as grown:
            grown.write(text)
        async with asyncio.timeout(FLUSH_SECONDS):
            while LOG not in (logs := await logs_of(backend, run)) or logs[LOG].size_bytes < file.stat().st_size:
                pass


async def test_a_finished_writer_finishes_its_logs(backend: Backend, run: str, spools: Spools, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    spool = spools.open(run, backend.address)
    spool.follow_file(LOG, file)
    file.write_bytes(b"x" * 1_000_000)
    spool.finish()
    await spools.carried()
    assert await log_text(backend.channel, run, LOG) == b"x" * 1_000_000
    assert (await logs_of(backend, run))[LOG].finished


async def test_a_folder_is_followed_without_what_is_hidden(
    backend: Backend, run: str, spools: Spools, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "a.txt").write_text("a")
    (folder / ".hidden").write_text("no")
    (folder / ".git" / "c.txt").write_text("no")
    spool = spools.open(run, backend.address)
    spool.follow_folder("logs", folder)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    (folder / "deep" / "b.txt").write_text("b")
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    assert sorted(await logs_of(backend, run)) == ["logs/a.txt", "logs/deep/b.txt"]
    assert await log_text(backend.channel, run, "logs/deep/b.txt") == b"b"


async def test_two_writers_follow_one_file_and_the_last_finishes_it(
    backend: Backend, run: str, spools: Spools, tmp_path: Path
) -> None:
    file = tmp_path / "out.txt"
    file.write_bytes(b"one\n")
    first = spools.open(run, backend.address)
    first.follow_file(LOG, file)
    await asyncio.to_thread(first.flush, FLUSH_SECONDS)
    first.finish()
    first.follow_file(LOG, file)  # by the next spool of this process
    with file.open("ab") as grown:
        grown.write(b"two\n")
    await asyncio.to_thread(first.flush, FLUSH_SECONDS)
    first.finish()
    await spools.carried()
    assert await log_text(backend.channel, run, LOG) == b"one\ntwo\n"


async def test_the_next_uplink_goes_on_where_the_server_stands(
    backend: Backend, run: str, spools: Spools, tmp_path: Path
) -> None:
    file = tmp_path / "out.txt"
    file.write_bytes(b"one\n")
    spool = spools.open(run, backend.address)
    spool.follow_file(LOG, file)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    await spools.kill_uplink()
    with file.open("ab") as grown:
        grown.write(b"two\n")
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    assert await log_text(backend.channel, run, LOG) == b"one\ntwo\n"


async def test_a_file_that_was_cut_is_not_recorded_any_further(
    backend: Backend, run: str, spools: Spools, tmp_path: Path
) -> None:
    file = tmp_path / "out.txt"
    file.write_bytes(b"a long line\n")
    spool = spools.open(run, backend.address)
    spool.follow_file(LOG, file)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    file.write_bytes(b"short\n")
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    spool.finish()
    await spools.carried()
    (warning,) = await warnings(backend.channel, run)
    assert "has fewer bytes than were recorded of it (LOG_REWRITTEN)" in warning


@pytest.mark.parametrize("kind", ["missing", "folder"])
async def test_a_file_that_cannot_be_followed_holds_up_no_metric(
    backend: Backend, run: str, spools: Spools, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "out.txt"
    if kind == "folder":
        file.mkdir()
    spool = spools.open(run, backend.address)
    spool.follow_file(LOG, file)
    spool.log("loss", 1.0)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    spool.finish()
    await until(lambda: not spools.left())


@pytest.mark.parametrize("name", ["a\0b", "file/below"])
async def test_a_file_of_an_impossible_name_is_seen_on_the_run(
    backend: Backend, run: str, spools: Spools, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("text")
    spool = spools.open(run, backend.address)
    spool.follow_file(LOG, tmp_path / name)
    spool.log("loss", 1.0)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    spool.finish()
    await spools.carried()

    (warning,) = await warnings(backend.channel, run)
    assert warning.startswith(f"Log file {LOG!r} is not recorded any further")
