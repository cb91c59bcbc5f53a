"""Section 17: snapshots."""

import zipfile
from pathlib import Path

import pytest

from runstream.core import Experiment, Run
from runstream.exceptions import SnapshotException


def write(path: str, content: str = "content") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def contents(archive: str) -> dict[str, str]:
    with zipfile.ZipFile(archive) as opened:
        return {member.filename: opened.read(member).decode() for member in opened.infolist()}


def test_start_logging_takes_a_snapshot_of_the_current_folder(exp: Experiment) -> None:
    write("train.py", "print(1)")
    run = exp.start_logging()

    snapshot = run.get_properties()["ContentSnapshotId"]
    assert run.get_snapshot_id() == snapshot
    assert contents(run.restore_snapshot()) == {"train.py": "print(1)", "outputs/": ""}


def test_another_folder_can_be_named_and_none(exp: Experiment) -> None:
    write("source/train.py", "print(1)")
    run = exp.start_logging(outputs=False, snapshot_directory="source")
    assert contents(run.restore_snapshot()) == {"train.py": "print(1)"}

    without = exp.start_logging(outputs=False, snapshot_directory=None)
    assert "ContentSnapshotId" not in without.get_properties()
    for call in (without.get_snapshot_id, without.restore_snapshot):
        with pytest.raises(SnapshotException, match="has no snapshot"):
            call()


def test_an_unchanged_folder_gives_the_same_snapshot(exp: Experiment) -> None:
    write("train.py")
    write("deep/er/data.csv", "1,2")
    first = exp.start_logging(outputs=False).get_snapshot_id()
    again = exp.start_logging(outputs=False).get_snapshot_id()
    write("train.py", "changed")
    changed = exp.start_logging(outputs=False).get_snapshot_id()

    assert first == again != changed


def test_a_run_has_one_snapshot(run: Run) -> None:
    write("source/train.py")
    snapshot = run.take_snapshot("source")
    assert run.get_snapshot_id() == run.get_properties()["ContentSnapshotId"] == snapshot

    with pytest.raises(SnapshotException, match="has a snapshot already"):
        run.take_snapshot("source")


def test_a_single_file_can_be_the_snapshot(run: Run) -> None:
    run.take_snapshot(write("deep/train.py", "print(1)"))

    assert contents(run.restore_snapshot()) == {"train.py": "print(1)"}


def test_a_snapshot_is_restored_into_a_folder_that_is_made(run: Run, exp: Experiment) -> None:
    write("source/a")
    snapshot = run.take_snapshot("source")
    archive = Path(run.restore_snapshot(path="new/folder"))
    other = exp.start_logging(outputs=False, snapshot_directory=None)

    assert archive == Path("new/folder").absolute() / f"{snapshot}.zip"
    assert contents(other.restore_snapshot(snapshot_id=snapshot, path="other")) == {"a": "content"}
    for unknown in ("0" * 64, "../runs/a", "x"):
        with pytest.raises(SnapshotException, match="There is no snapshot"):
            run.restore_snapshot(unknown, path="unknown")


def test_links_permissions_empty_folders_and_names_are_kept(run: Run) -> None:
    write("source/data/naïve 数据.csv", "1,2")
    write("source/run.sh").chmod(0o755)
    Path("source/link.csv").symlink_to("data/naïve 数据.csv")
    Path("source/empty/inner").mkdir(parents=True)
    run.take_snapshot("source")
    archive = run.restore_snapshot()

    assert contents(archive) == {
        "data/naïve 数据.csv": "1,2",
        "empty/inner/": "",
        "link.csv": "1,2",
        "run.sh": "content",
    }
    with zipfile.ZipFile(archive) as opened:
        modes = {member.filename: member.external_attr >> 16 & 0o777 for member in opened.infolist()}
    assert (modes["run.sh"], modes["link.csv"]) == (0o755, 0o644)


def test_what_is_ignored_is_not_stored(run: Run) -> None:
    for path in ("train.py", "data/big.bin", ".git/HEAD", "__pycache__/a.pyc"):
        write(f"source/{path}")
    write("source/.amlignore", "data/\n")
    write("source/.gitignore", "train.py\n")
    run.take_snapshot("source")

    assert sorted(contents(run.restore_snapshot())) == [".amlignore", ".gitignore", "train.py"]


def test_too_many_files_are_refused_before_there_is_a_run(exp: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2_001):
        write(f"source/{number:04}", f"{number}" * (1 + number // 1990 * number))

    with pytest.raises(SnapshotException) as caught:
        exp.start_logging(outputs=False, snapshot_directory="source")
    for part in ("2,001 changed files", "2,000 files", "300.0 MiB", "2000 (", "1996 (", ".amlignore"):
        assert part in caught.value.message
    assert "1995 (" not in caught.value.message
    assert "snapshot_directory=None" in caught.value.message
    assert list(exp.get_runs()) == []

    monkeypatch.setenv("AML_SNAPSHOT_NO_FILE_LIMIT", "1")
    run = exp.start_logging(outputs=False, snapshot_directory="source")
    monkeypatch.delenv("AML_SNAPSHOT_NO_FILE_LIMIT")
    assert exp.start_logging(outputs=False, snapshot_directory="source").get_snapshot_id() == run.get_snapshot_id()


def test_more_bytes_than_the_limit_are_refused(run: Run) -> None:
    Path("source").mkdir()
    with Path("source/huge.bin").open("wb") as file:
        file.truncate(301 << 20)

    with pytest.raises(SnapshotException, match=r"huge\.bin \(301\.0 MiB\)"):
        run.take_snapshot("source")
    assert "ContentSnapshotId" not in run.get_properties()


@pytest.mark.parametrize("target", ["/etc/hostname", ".."])
def test_a_link_out_of_the_folder_is_refused_before_there_is_a_run(exp: Experiment, target: str) -> None:
    Path("link").symlink_to(target)

    with pytest.raises(SnapshotException, match="link leads out of the folder"):
        exp.start_logging(outputs=False)
    assert list(exp.get_runs()) == []


@pytest.mark.parametrize("name", ["e\u0301", "back\\slash", "new\nline", "C:colon"])
def test_names_that_cannot_be_stored_are_told(run: Run, name: str) -> None:
    write(f"source/{name}")

    with pytest.raises(SnapshotException, match="cannot be stored"):
        run.take_snapshot("source")


def test_what_is_skipped_is_warned_of(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    write("source/a")
    Path("source/broken").symlink_to("nothing")
    run.take_snapshot("source")

    assert "broken is gone, or a link to nothing" in caplog.text
    assert contents(run.restore_snapshot()) == {"a": "content"}
