"""An archive is unpacked below its folder, whole and nowhere else."""

import stat
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream._snapshot.archive import SMALL_BYTES, unpack
from runstream.exceptions import SnapshotException, UserErrorException

PARTS = st.sampled_from(["..", ".", "", "a", "b", "link", "C:", "a\\b", "\n", "é", "~"])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


def pack(path: Path, members: Iterable[tuple[str, bytes, int]]) -> Path:
    """An archive of members with their names, contents and modes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content, mode in members:
            member = zipfile.ZipInfo()
            member.filename = name  # as given: the constructor would tidy it up
            member.external_attr = mode << 16
            archive.writestr(member, content)
    return path


def everything_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@settings(max_examples=100)
@given(st.lists(NAMES, max_size=4, unique=True))
def test_nothing_is_written_outside_of_the_folder(names: list[str]) -> None:
    with TemporaryDirectory() as root:
        around, outside = Path(root, "around"), Path(root, "outside")
        (around / "folder").mkdir(parents=True)
        outside.mkdir()
        (around / "folder" / "link").symlink_to(outside)
        archive = pack(Path(root, "archive.zip"), [(name, b"content", 0o644) for name in names])
        with suppress(UserErrorException, SnapshotException, OSError):
            unpack(archive, around / "folder")
        assert everything_below(outside) == []
        assert [path.name for path in around.iterdir()] == ["folder"]
        assert sorted(path.name for path in Path(root).iterdir()) == ["archive.zip", "around", "outside"]


def test_files_folders_and_permissions_are_unpacked(tmp_path: Path) -> None:
    members = [("a/run.sh", b"#!", stat.S_IFREG | 0o755), ("b", b"1", stat.S_IFREG | 0o644), ("empty/", b"", 0o40755)]
    files = unpack(pack(tmp_path / "x.zip", members), tmp_path / "new" / "folder")

    assert files == [tmp_path / "new/folder/a/run.sh", tmp_path / "new/folder/b"]
    assert everything_below(tmp_path / "new/folder") == ["a", "a/run.sh", "b", "empty"]
    assert files[0].stat().st_mode & 0o111 == 0o111
    assert files[1].stat().st_mode & 0o111 == 0
    assert files[1].read_bytes() == b"1"


@pytest.mark.parametrize("size", [SMALL_BYTES, SMALL_BYTES + 1])
def test_small_and_large_files_are_unpacked_alike(tmp_path: Path, size: int) -> None:
    content = bytes(range(250)) * (size // 250 + 1)
    (unpacked,) = unpack(pack(tmp_path / "x.zip", [("a", content[:size], stat.S_IFREG | 0o755)]), tmp_path / "new")

    assert unpacked.read_bytes() == content[:size]
    assert stat.S_IMODE(unpacked.stat().st_mode) & 0o100
    assert everything_below(tmp_path / "new") == ["a"]


def test_a_file_that_exists_is_replaced_and_a_link_to_one_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("outside")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").symlink_to(tmp_path / "outside")
    unpack(pack(tmp_path / "x.zip", [("a", b"new", 0o644)]), tmp_path / "folder")

    assert (tmp_path / "outside").read_text() == "outside"
    assert (tmp_path / "folder" / "a").read_text() == "new"
    assert not (tmp_path / "folder" / "a").is_symlink()


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644])
def test_what_is_no_file_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SnapshotException, match="is no file"):
        unpack(pack(tmp_path / "x.zip", [("link", b"/etc/passwd", mode)]), tmp_path / "folder")
    assert everything_below(tmp_path / "folder") == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotException, match="the same name twice"):
        unpack(pack(tmp_path / "x.zip", [("a", b"1", 0), ("a", b"2", 0)]), tmp_path / "folder")


def test_damaged_bytes_are_told_and_leave_no_file(tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", [("a", b"0123456789", 0)])
    archive.write_bytes(archive.read_bytes().replace(b"0123456789", b"0123456780"))

    with pytest.raises(SnapshotException, match="a in the archive is damaged"):
        unpack(archive, tmp_path / "folder")
    assert everything_below(tmp_path / "folder") == []


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no archive")

    with pytest.raises(SnapshotException, match="is no archive of a snapshot"):
        unpack(tmp_path / "x.zip", tmp_path / "folder")
