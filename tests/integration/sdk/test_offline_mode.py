"""`RUNSTREAM_MODE=offline`: everything is recorded without the services, and `runstream sync` uploads it."""

import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runstream.core import Experiment, Workspace
from tests.conditions import wait_until

RUNSTREAM = str(Path(sys.executable).with_name("runstream"))
BEGIN = """
import os, sys
from pathlib import Path
from runstream.core import Experiment, Run, Workspace
from runstream.exceptions import AzureMLException
ws = Workspace.get(sys.argv[1])
exp = Experiment(ws, "digits")
"""
TRAINING = """
run = exp.start_logging(run_id="one", snapshot_directory=None, display_name="first")
for i in range(1000): run.log("loss", float(i), step=i)
run.log_list("all", [1, 2, 3])
run.tag("quality", "good")
run.tag("gone")
run.remove_tags(["gone"])
run.add_properties({"author": "ada"})
run.description = "made offline"
Path("outputs/model.txt").write_text("weights")
run.upload_file("notes.txt", "outputs/model.txt")
with run.child_run("part") as child:
    child.log("accuracy", 0.5)
failed = run.child_run("bad", run_id="bad")
failed.fail("it broke", error_code="Broken")
for each in run.create_children(count=2): each.complete()
try:
    run.get_metrics()
except AzureMLException as error:
    print(error.message)
run.flush()
run.complete()
assert run.status == "Completed", run.status
Path("outputs/model.txt").unlink()
"""


@pytest.fixture
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of spools of this test's own."""
    monkeypatch.setenv("RUNSTREAM_SPOOL_DIR", str(tmp_path / "spool"))
    return tmp_path / "spool"


def offline(code: str, *arguments: str, **environment: str) -> str:
    """Runs a script that has no services; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "RUNSTREAM_MODE": "offline", "RUNSTREAM_ADDRESS": "127.0.0.1:1", **environment},
    )
    assert not done.returncode, done.stderr
    return done.stdout


def runstream(*arguments: str) -> tuple[int, Any]:
    """Runs the command line; its exit code and what it shows."""
    done = subprocess.run([RUNSTREAM, *arguments, "-o", "json"], capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


def test_a_run_that_was_made_offline_is_uploaded_as_it_was(ws: Workspace, spool_folder: Path) -> None:
    begun = datetime.now(UTC)
    said = offline(TRAINING, ws.name)
    ended = datetime.now(UTC)
    assert "runstream sync" in said

    code, outcome = runstream("sync")
    assert (code, outcome["left_bytes"], outcome["troubles"]) == (0, 0, [])
    assert outcome["runs"] == 5

    run = ws.get_run("one")
    assert run.get_status() == "Completed"
    assert run.get_metrics() == {"loss": [float(i) for i in range(1000)], "all": [1, 2, 3]}
    assert run.get_tags() == {"quality": "good"}
    assert run.get_properties()["author"] == "ada"
    details = run.get_details()
    times = [datetime.fromisoformat(details[key]) for key in ("startTimeUtc", "endTimeUtc")]
    assert begun < times[0] < times[1] < ended
    assert (run.display_name, run.description) == ("first", "made offline")
    assert {"notes.txt", "outputs/model.txt"} <= set(run.get_file_names())
    children = {child.id: child for child in run.get_children()}
    assert len(children) == 4
    assert sorted(child.get_status() for child in children.values()) == ["Completed"] * 3 + ["Failed"]
    assert children["bad"].get_details()["error"]["error"]["code"] == "Broken"
    assert not list(spool_folder.glob("*/*.spool"))
    assert not list(spool_folder.glob("*/*.journal*"))


def test_syncs_that_are_repeated_or_run_at_once_store_nothing_twice(ws: Workspace, spool_folder: Path) -> None:
    for number in range(3):
        offline(f"exp.start_logging(run_id='run-{number}').log_list('loss', range(5000))", ws.name)

    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(runstream("sync")[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes.append(runstream("sync")[0])

    assert codes == [0, 0, 0]
    for number in range(3):
        assert ws.get_run(f"run-{number}").get_metrics() == {"loss": list(range(5000))}
    assert len(list(Experiment(ws, "digits").get_runs())) == 3


def test_a_sync_may_be_killed_and_repeated(ws: Workspace, spool_folder: Path) -> None:
    offline("run = exp.start_logging(run_id='one')\nfor i in range(20000): run.log('loss', i)", ws.name)
    kept = sum(path.stat().st_size for path in spool_folder.glob("*/*.spool"))
    for _ in range(3):
        with subprocess.Popen([RUNSTREAM, "sync"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as sync:
            wait_until(lambda: sync.poll() is not None or any(spool_folder.glob("*/*.journal.done")))
            sync.kill()
    assert kept

    assert runstream("sync")[0] == 0
    assert ws.get_run("one").get_metrics("loss") == {"loss": list(range(20000))}


def test_ranks_and_forked_children_record_offline_too(ws: Workspace, spool_folder: Path) -> None:
    offline(
        """
run = exp.start_logging(run_id="one")
child = os.fork()
if not child:
    run.log("forked", 1)
    run.tag("forked", "yes")
    sys.exit(0)
os.waitpid(child, 0)
run.complete()
""",
        ws.name,
    )
    job = {"RUNSTREAM_RUN_ID": "one", "RUNSTREAM_WORKSPACE": ws.name, "RUNSTREAM_EXPERIMENT": "digits"}
    offline("run = Run.get_context(); run.log('rank', 3); run.complete()", ws.name, **job)

    assert runstream("sync")[0] == 0
    run = ws.get_run("one")
    assert run.get_metrics() == {"forked": 1, "rank": 3}
    assert run.get_tags() == {"forked": "yes"}
    assert run.get_status() == "Completed"


def test_what_cannot_be_made_stays_and_is_told(ws: Workspace, spool_folder: Path) -> None:
    offline("exp.start_logging(run_id='one').log('loss', 1.0)", "no-such-workspace")

    code, outcome = runstream("sync")
    assert code == 5
    assert outcome["left_bytes"] > 0
    assert "no-such-workspace" in outcome["troubles"][0]["message"]
    listed = runstream("spool", "ls")[1]
    assert {each["state"] for each in listed} == {"left", "journal"}
    assert all(each["pending_bytes"] for each in listed)

    names = [each["name"] for each in listed]
    assert runstream("spool", "rm", *names)[0] == 2
    assert runstream("spool", "rm", "--force", *names)[0] == 0
    assert runstream("spool", "ls")[1] == []


def test_sync_without_services_says_so(ws: Workspace, spool_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline("exp.start_logging(run_id='one').log('loss', 1.0)", ws.name)

    assert runstream("sync", "--address", "127.0.0.1:1")[0] == 4
    assert runstream("spool", "verify")[0] == 0
    assert runstream("sync")[0] == 0


def test_damage_is_told_with_its_place(ws: Workspace, spool_folder: Path) -> None:
    offline("run = exp.start_logging(run_id='one')\nfor i in range(100): run.log('loss', i)", ws.name)
    (spool,) = spool_folder.glob("*/*.spool")
    data = bytearray(spool.read_bytes())
    data[2000] ^= 1
    spool.write_bytes(data)

    code, findings = runstream("spool", "verify")
    assert code == 1
    (damage,) = next(each for each in findings if each["path"] == str(spool))["damages"]
    assert damage["offset"] <= 2000 < damage["offset"] + damage["bytes"]
    assert damage["bytes"] < 100

    assert runstream("sync")[0] == 0
    values = ws.get_run("one").get_metrics("loss")["loss"]
    assert len(values) == 99
    assert values == sorted(values)


def test_a_folder_may_be_synced_elsewhere_and_again_from_a_copy(
    ws: Workspace, spool_folder: Path, tmp_path: Path, services: str
) -> None:
    offline(
        """
run = exp.start_logging(run_id="one", snapshot_directory=None)
run.log_list("loss", range(200_000))
run.upload_file("notes.txt", __import__("io").BytesIO(b"notes"))
run.complete()
""",
        ws.name,
    )
    moved, copy = tmp_path / "moved", tmp_path / "copy"
    shutil.copytree(spool_folder, copy)
    shutil.move(spool_folder, moved)

    assert runstream("sync", str(moved), "--address", services)[0] == 0
    code, outcome = runstream("sync", str(copy), "--address", services)

    assert code == 5
    assert [trouble["what"] for trouble in outcome["troubles"]] == [ws.get_run("one")._record.name]
    run = ws.get_run("one")
    assert run.get_metrics() == {"loss": list(range(200_000))}
    assert "notes.txt" in run.get_file_names()
    assert len(list(Experiment(ws, "digits").get_runs())) == 1


def test_what_of_a_journal_cannot_be_read_is_told_and_the_rest_is_done(ws: Workspace, spool_folder: Path) -> None:
    offline("run = exp.start_logging(run_id='one', snapshot_directory=None)\nrun.tag('a')\nrun.tag('b')", ws.name)
    (journal,) = spool_folder.glob("*/*.journal")
    data = bytearray(journal.read_bytes())
    data[-1] ^= 1
    journal.write_bytes(data)

    assert runstream("spool", "verify")[0] == 1
    code, outcome = runstream("sync")
    assert code == 5
    assert "cannot be read" in outcome["troubles"][0]["message"]
    assert ws.get_run("one").get_tags() == {"a": None}


def test_a_process_that_is_still_offline_is_synced_as_far_as_it_is(ws: Workspace, spool_folder: Path) -> None:
    code = BEGIN + (
        "run = exp.start_logging(run_id='one', snapshot_directory=None)\nrun.log('loss', 1)\n"
        "print('ready', flush=True)\ninput()\nrun.log('loss', 2)\nrun.tag('late')\nrun.complete()"
    )
    environment = {**os.environ, "RUNSTREAM_MODE": "offline"}
    with subprocess.Popen(
        [sys.executable, "-c", code, ws.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as training:
        assert training.stdout is not None
        training.stdout.readline()
        assert runstream("sync")[0] == 0
        assert ws.get_run("one").get_metrics() == {"loss": 1}
        training.communicate("\n")

    assert runstream("sync")[0] == 0
    run = ws.get_run("one")
    assert run.get_metrics() == {"loss": [1, 2]}
    assert run.get_tags() == {"late": None}
    assert run.get_status() == "Completed"


def test_only_a_run_whose_script_was_killed_offline_is_waited_for(ws: Workspace, spool_folder: Path) -> None:
    offline("exp.start_logging(run_id='ended', snapshot_directory=None).complete()", ws.name)
    offline("exp.start_logging(run_id='killed', snapshot_directory=None)\nos._exit(0)", ws.name)

    assert runstream("sync")[0] == 0
    assert not ws.get_run("ended")._record.heartbeat_enabled
    assert ws.get_run("killed")._record.heartbeat_enabled


def test_the_awaiting_form_works_offline(ws: Workspace, spool_folder: Path) -> None:
    offline(
        """
import asyncio
from runstream import aio
async def main():
    experiment = await aio.Experiment.get_or_create(await aio.Workspace.get(sys.argv[1]), "digits")
    run = await experiment.start_logging(run_id="awaited", snapshot_directory=None)
    run.log("loss", 1.0)
    await run.complete()
asyncio.run(main())
""",
        ws.name,
    )

    assert runstream("sync")[0] == 0
    assert ws.get_run("awaited").get_metrics() == {"loss": 1.0}
