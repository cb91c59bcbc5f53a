"""Files and snapshots of runs on the command line."""

import asyncio
from pathlib import Path

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream._snapshot.take import take_snapshot
from runstream.api.runs.v1 import run_history_service_pb2 as api
from tests import stubs
from tests.command_line import Cli, MakeRun
from tests.conftest import Backend


def write(folder: Path, path: str, content: str = "content") -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


async def test_what_is_put_is_listed_printed_and_got(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    await make_run("a")
    for path in ("model.txt", "checkpoints/1", "checkpoints/deep/2"):
        write(tmp_path, path, path)
    put = await cli("artifact", "put", "-r", "a", "model.txt", "checkpoints", "-d", "outputs/")
    listed = await cli("artifact", "ls", "-r", "a")
    folders = await cli("artifact", "ls", "-r", "a", "--folders", "--prefix", "outputs/")
    printed = await cli("artifact", "cat", "-r", "a", "outputs/checkpoints/deep/2")
    got = await cli("artifact", "get", "-r", "a", "outputs/checkpoints", "-d", "there")

    stored = ["outputs/checkpoints/1", "outputs/checkpoints/deep/2", "outputs/model.txt"]
    assert sorted(put.result) == [file["path"] for file in listed.result] == stored
    assert [file["path"] for file in folders.result] == ["outputs/checkpoints/", "outputs/model.txt"]
    assert printed.out == "checkpoints/deep/2"
    assert got.result == ["there/checkpoints/1", "there/checkpoints/deep/2"]
    assert (tmp_path / "there/checkpoints/1").read_text() == "checkpoints/1"
    assert put.err == got.err == ""


async def test_other_bytes_are_refused_until_the_file_is_removed(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    await make_run("a")
    write(tmp_path, "a.txt", "first")
    await cli("artifact", "put", "-r", "a", "a.txt")
    await cli("artifact", "put", "-r", "a", "a.txt")
    write(tmp_path, "a.txt", "second")
    refused = await cli("artifact", "put", "-r", "a", "a.txt", code=5)
    asked = await cli("artifact", "rm", "-r", "a", "a.txt", code=2)
    removed = await cli("artifact", "rm", "-r", "a", "a.txt", "--yes")
    again = await cli("artifact", "rm", "-r", "a", "a.txt", "--yes")
    await cli("artifact", "put", "-r", "a", "a.txt")
    printed = await cli("artifact", "cat", "-r", "a", "a.txt")

    assert "a.txt" in refused.err
    assert "add --yes" in asked.err
    assert (removed.result, again.result) == ({"deleted_count": 1}, {"deleted_count": 0})
    assert printed.out == "second"


async def test_a_file_that_is_not_there_is_told_with_those_that_are(
    cli: Cli, make_run: MakeRun, tmp_path: Path
) -> None:
    await make_run("a")
    await make_run("empty")
    write(tmp_path, "a.txt")
    await cli("artifact", "put", "-r", "a", "a.txt")
    unknown = await cli("artifact", "cat", "-r", "a", "nope", code=3)
    empty = await cli("artifact", "cat", "-r", "empty", "nope", code=3)
    not_got = await cli("artifact", "get", "-r", "a", "nope", code=3)

    assert "Run a has no file nope. It has a.txt." in " ".join(unknown.err.split())
    assert "Run empty has no file nope. It has no files." in " ".join(empty.err.split())
    assert "The run has no file or folder nope. It has a.txt." in " ".join(not_got.err.split())


async def test_a_folder_is_removed_by_its_slash(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    await make_run("a")
    for path in ("out/1", "out/2", "output"):
        write(tmp_path, path, path)
    await cli("artifact", "put", "-r", "a", "out", "output")
    missed = await cli("artifact", "rm", "-r", "a", "out", "--yes")
    removed = await cli("artifact", "rm", "-r", "a", "out/", "--yes")
    listed = await cli("artifact", "ls", "-r", "a")

    assert missed.err == "Removed 0 files.\nA folder is named with a slash at its end, outputs/ for example.\n"
    assert removed.err == "Removed 2 files.\n"
    assert [file["path"] for file in listed.result] == ["output"]


async def test_a_file_or_a_run_that_is_not_there_is_told(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    await make_run("a")
    write(tmp_path, "a.txt")
    outcomes = await asyncio.gather(
        cli("artifact", "cat", "-r", "a", "unknown", code=3),
        cli("artifact", "get", "-r", "a", "unknown", code=3),
        cli("artifact", "put", "-r", "unknown", "a.txt", code=3),
        cli("artifact", "rm", "-r", "unknown", "a", "--yes", code=3),
        cli("artifact", "put", "-r", "a", "missing.txt", code=2),
        cli("run", "download-snapshot", "-r", "a", code=1),
    )

    assert all("Error" in outcome.err for outcome in outcomes)
    assert "Run a has no snapshot." in outcomes[-1].err


async def test_a_snapshot_becomes_a_folder_or_an_archive(
    cli: Cli, make_run: MakeRun, backend: Backend, tmp_path: Path
) -> None:
    run = await make_run("a")
    write(tmp_path, "source/train.py", "print(1)")
    write(tmp_path, "source/run.sh").chmod(0o755)
    (tmp_path / "source" / "empty").mkdir()
    snapshot = await take_snapshot(Connection.to(backend.address), "workspaces/default", tmp_path / "source")
    await close_connections()
    properties = api.AddPropertiesRequest(name=run.name, properties={"ContentSnapshotId": snapshot})
    await stubs.run_history(backend.channel).AddProperties(properties)
    unpacked = await cli("run", "download-snapshot", "-r", "a")
    archive = await cli("run", "download-snapshot", "-r", "a", "--zip", "-d", "archives")

    assert unpacked.result == ["a/run.sh", "a/train.py"]
    assert (tmp_path / "a/train.py").read_text() == "print(1)"
    assert (tmp_path / "a/run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a/empty").is_dir()
    assert archive.result == [str(tmp_path / "archives" / f"{snapshot}.zip")]
