"""The digests of files, some of them remembered."""

import hashlib
import os
from pathlib import Path

import pytest

from runstream._channel.address import STATE_VARIABLE
from runstream._snapshot.digests import MAX_FOLDERS, digest_all
from runstream._snapshot.tree import walk
from runstream.exceptions import SnapshotException

LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests are remembered."""
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state" / "snapshots"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def digests(root: Path) -> dict[str, str]:
    files = walk(root).files
    return {file.path: digest for file, (_, digest) in zip(files, digest_all(root, files), strict=True)}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def remember(state: Path, root: Path, digest: str) -> None:
    """Makes the memory say this of every file as it is now."""
    files = walk(root).files
    state.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
    entries = ",".join(f'["{file.source}", {list(file.version)}, "{digest}"]' for file in files)
    (state / f"{name}.json").write_text(f'{{"format": 1, "files": [{entries}]}}')


def test_the_digest_is_the_sha256_of_the_bytes(root: Path) -> None:
    contents = {f"{number:03}": os.urandom(number * 100) for number in range(300)}
    for name, content in contents.items():
        (root / name).write_bytes(content)

    assert digests(root) == {name: sha256(content) for name, content in contents.items()}


def test_a_file_that_did_not_change_is_not_read(root: Path, state: Path) -> None:
    (root / "a").write_text("a")
    remember(state, root, "remembered")

    assert digests(root) == {"a": "remembered"}


def test_a_file_that_changed_is_read_though_its_size_and_time_are_the_same(root: Path, state: Path) -> None:
    (root / "a").write_text("a")
    os.utime(root / "a", (LONG_AGO, LONG_AGO))
    remember(state, root, "remembered")
    (root / "a").write_text("b")
    os.utime(root / "a", (LONG_AGO, LONG_AGO))

    assert digests(root) == {"a": sha256(b"b")}


def test_a_file_in_the_place_of_another_is_read(root: Path, state: Path) -> None:
    (root / "a").write_text("a")
    remember(state, root, "remembered")
    (root / "b").write_text("b")
    (root / "b").replace(root / "a")

    assert digests(root) == {"a": sha256(b"b")}


def test_what_was_changed_just_now_is_not_remembered(root: Path, state: Path) -> None:
    (root / "a").write_text("a")
    digests(root)

    (memory,) = state.iterdir()
    assert '"files": []' in memory.read_text()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "files": [1]}', b"\xff"])
def test_a_memory_that_cannot_be_read_is_made_anew(root: Path, state: Path, content: bytes) -> None:
    (root / "a").write_text("a")
    remember(state, root, "remembered")
    (memory,) = state.iterdir()
    memory.write_bytes(content)

    assert digests(root) == {"a": sha256(b"a")}


def test_folders_that_were_not_used_for_long_are_forgotten(root: Path, state: Path) -> None:
    state.mkdir(parents=True)
    for number in range(MAX_FOLDERS):
        (state / f"{number}.json").touch()
        os.utime(state / f"{number}.json", (LONG_AGO + number, LONG_AGO + number))
    (root / "a").write_text("a")
    digests(root)

    left = {path.name for path in state.iterdir()}
    assert len(left) == MAX_FOLDERS
    assert "0.json" not in left


def test_a_state_folder_that_cannot_be_written_keeps_nobody_from_a_snapshot(root: Path, state: Path) -> None:
    state.parent.write_text("a file where the folder should be")
    (root / "a").write_text("a")

    assert digests(root) == {"a": sha256(b"a")}


def test_a_file_that_is_gone_is_told(root: Path) -> None:
    (root / "a").write_text("a")
    files = walk(root).files
    (root / "a").unlink()

    with pytest.raises(SnapshotException, match="a cannot be read: No such file"):
        digest_all(root, files)
