"""Section 17: what of a source folder becomes a snapshot."""

import os
import socket
import unicodedata
from pathlib import Path

import pytest

from runstream._snapshot.tree import walk
from runstream.exceptions import SnapshotException


def paths(root: Path) -> list[str]:
    return [file.path for file in walk(root).files]


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b", "a/c", "a.b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    assert paths(tmp_path) == ["a.b", "a/c", "b"]


def test_folders_with_nothing_to_store_are_kept(tmp_path: Path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "model").write_text("")
    (tmp_path / ".amlignore").write_text("outputs/*")

    assert walk(tmp_path).empty_folders == ["data/raw", "outputs"]


def test_the_executable_bit_is_seen(tmp_path: Path) -> None:
    for name, mode in (("run.sh", 0o755), ("data", 0o644)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)

    assert [(file.path, file.is_executable) for file in walk(tmp_path).files] == [("data", False), ("run.sh", True)]


def test_a_link_is_stored_as_the_content_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    (tmp_path / "to-file").symlink_to("folder/file")
    (tmp_path / "to-folder").symlink_to(tmp_path / "folder")
    (tmp_path / "to-link").symlink_to("to-folder")

    files = walk(tmp_path).files

    assert [file.path for file in files] == ["folder/file", "to-file", "to-folder/file", "to-link/file"]
    assert {Path(file.source).read_text() for file in files} == {"content"}


@pytest.mark.parametrize("target", ["/etc", "/etc/hostname", "../other", "/"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source-other").mkdir()
    (tmp_path / "source" / "link").symlink_to(target)

    with pytest.raises(SnapshotException, match="link leads out of the folder"):
        walk(tmp_path / "source")


def test_a_neighbour_whose_name_starts_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source-other").mkdir()
    (tmp_path / "source" / "link").symlink_to("../source-other")

    with pytest.raises(SnapshotException, match="leads out of the folder"):
        walk(tmp_path / "source")


def test_a_link_that_is_left_out_may_lead_anywhere(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/etc")
    (tmp_path / "venv").symlink_to("/usr")
    (tmp_path / ".amlignore").write_text("data\nvenv/\n")

    assert paths(tmp_path) == [".amlignore"]


@pytest.mark.parametrize(
    "links",
    [{"a/up": ".."}, {"a/self": "."}, {"a/to-b": "../b", "b/to-a": "../a"}, {"x": "a/b", "a/b/m": "../../a"}],
    ids=["parent", "itself", "each other", "round about"],
)
def test_links_that_lead_back_are_refused(tmp_path: Path, links: dict[str, str]) -> None:
    for folder in ("a/b", "b"):
        (tmp_path / folder).mkdir(parents=True)
    for path, target in links.items():
        (tmp_path / path).symlink_to(target)

    with pytest.raises(SnapshotException, match="leads back to a folder"):
        walk(tmp_path)


def test_what_has_no_content_is_skipped_and_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nothing")
    (tmp_path / "around").symlink_to("around")
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path)
        server.bind("socket")
        tree = walk(tmp_path)

    assert [file.path for file in tree.files] == ["file"]
    assert sorted(tree.skipped) == [
        *("around is gone, or a link to nothing", "broken is gone, or a link to nothing"),
        *("pipe is a named pipe", "socket is a socket"),
    ]


def test_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = ["a b", "naïve", unicodedata.normalize("NFD", "naïve"), "数据", "🙂", "back\\slash", "A", "a"]
    for name in names:
        (tmp_path / name).write_text("")

    assert paths(tmp_path) == sorted(names)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("")

    with pytest.raises(SnapshotException, match=r"name b'caf\\xe9' is no UTF-8 text"):
        walk(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SnapshotException, match="There is no folder"):
        walk(tmp_path / "missing")


def test_a_root_that_is_a_link_is_walked(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("")
    (tmp_path / "link").symlink_to("source")

    assert paths(tmp_path / "link") == ["a"]
