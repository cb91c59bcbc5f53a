"""Copies of the files that a run has below `logs/`."""

import asyncio
import logging
from pathlib import Path

import pytest

from runstream import aio
from runstream.api.runs.v1 import run_history_service_pb2 as runs_api
from runstream.tensorboard._mirror import Mirror
from runstream.tensorboard._run_mirror import RunMirror
from tests import stubs
from tests.append_clients import log_stream
from tests.conftest import Backend
from tests.log_files import end_run, write_whole_log
from tests.make_runs import WORKSPACE, make_run

EVENTS = "logs/train/events.out.tfevents.1"
MARK = b"?"
"""Where it stands in a local file, nothing was written since."""


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def mark(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(MARK)


async def test_of_a_file_that_grows_only_what_is_new_is_written(
    backend: Backend, run: str, sdk_run: aio.Run, tmp_path: Path
) -> None:
    mirror, local = RunMirror(sdk_run, tmp_path), tmp_path / "train" / "events.out.tfevents.1"
    async with log_stream(backend.channel, run, EVENTS) as stream:
        await stream.send(0, b"x" * 8_000)
        await stream.acknowledged(8_000)
        changes = [await mirror.look(), await mirror.look()]
        mark(local)
        await stream.send(8_000, b"y\0\xff")
        await stream.acknowledged(8_003)
        changes.append(await mirror.look())
        was_finished = mirror.is_finished

        await stream.send(8_003, b"z")
        await stream.finish()
        await stream.half_close()
    later = RunMirror(sdk_run, tmp_path)  # another day
    changes += [await later.look(), await later.look()]

    assert changes == [True, False, True, True, False]
    assert local.read_bytes() == MARK + b"x" * 7_999 + b"y\0\xffz"
    assert (was_finished, later.is_finished) == (False, True)


async def test_a_local_file_that_is_something_else_is_begun_again(
    backend: Backend, run: str, sdk_run: aio.Run, tmp_path: Path
) -> None:
    await write_whole_log(backend, run, "logs/shorter", b"content")
    await write_whole_log(backend, run, "logs/longer", b"content")
    (tmp_path / "shorter").write_bytes(b"cons")
    await write_whole_log(backend, run, "logs/longest", b"content")
    (tmp_path / "longer").write_bytes(b"content and more")
    (tmp_path / "longest").write_bytes(b"content" * 10_000)

    await RunMirror(sdk_run, tmp_path).look()

    assert contents(tmp_path) == dict.fromkeys(("shorter", "longer", "longest"), b"content")


async def test_what_another_process_copied_meanwhile_is_left_as_it_is(
    backend: Backend, run: str, sdk_run: aio.Run, tmp_path: Path
) -> None:
    mirror, local = RunMirror(sdk_run, tmp_path), tmp_path / "train" / "events.out.tfevents.1"
    async with log_stream(backend.channel, run, EVENTS) as stream:
        await stream.send(0, b"x" * 8_000)
        await stream.acknowledged(8_000)
        (listed,) = await sdk_run._list_logs()
        await stream.send(8_000, b"y" * 8_000)
        await stream.acknowledged(16_000)
    await RunMirror(sdk_run, tmp_path).look()
    mark(local)

    await mirror._take(listed)

    assert local.read_bytes() == MARK + b"x" * 7_999 + b"y" * 8_000


async def test_files_that_were_uploaded_are_copied_as_well(
    backend: Backend, run: str, sdk_run: aio.Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"events")
    await sdk_run.upload_file("logs/uploaded", str(tmp_path / "file"))
    await sdk_run.upload_file("outputs/model", str(tmp_path / "file"))
    await write_whole_log(backend, run, "user_logs/std_log.txt", b"no")
    mirror = RunMirror(sdk_run, tmp_path / "copy")

    changes = [await mirror.look(), await mirror.look()]

    assert changes == [True, False]
    assert contents(tmp_path / "copy") == {"uploaded": b"events"}


async def test_a_file_that_cannot_be_written_is_told_once_and_keeps_no_other_from_being_copied(
    backend: Backend, run: str, sdk_run: aio.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "runstream")
    for path in ("logs/a", "logs/a/b", "logs/c"):
        await write_whole_log(backend, run, path, path.encode())
    mirror = RunMirror(sdk_run, tmp_path)

    for _ in range(2):
        await mirror.look()

    assert contents(tmp_path) == {"a": b"logs/a", "c": b"logs/c"}
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "The file logs/a/b of run run cannot be copied"
    ]


async def test_runs_are_followed_until_they_have_ended_or_are_gone(
    backend: Backend, run: str, sdk_run: aio.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "runstream")
    await make_run(backend.channel, "gone")
    gone = await aio.Run.get(await aio.Workspace.get("space"), "gone")
    following = asyncio.create_task(Mirror([sdk_run, gone], tmp_path, use_display_name=False).follow())

    await write_whole_log(backend, run, EVENTS, b"events")
    await end_run(backend, run)
    request = runs_api.DeleteRunsRequest(parent=WORKSPACE, names=[f"{WORKSPACE}/runs/gone"])
    await stubs.run_history(backend.channel).DeleteRuns(request)
    await following

    assert (tmp_path / "run" / "train" / "events.out.tfevents.1").read_bytes() == b"events"
    assert [record.getMessage()[:22] for record in caplog.records] == ["Run gone is not copied"]
