"""Files that are being downloaded."""

import hashlib
import os
from pathlib import Path

import pytest

from runstream._transfer.http import TransferFailed
from runstream._transfer.partial import Ranges, Sequential, replacing
from runstream._transfer.progress import Silent
from runstream.api.artifacts.v1.artifact_service_pb2 import Artifact

CONTENT = os.urandom(10_500)
RANGE_BYTES = 1_000
ARTIFACT = Artifact(path="a", size_bytes=len(CONTENT), digest=hashlib.sha256(CONTENT).hexdigest())


def begin(target: Path) -> Ranges:
    return Ranges(target, ARTIFACT, RANGE_BYTES)


def bring(ranges: Ranges, *numbers: int, content: bytes = CONTENT) -> None:
    for number in numbers:
        start, end = ranges.bounds(number)
        ranges.write(start, content[start:end])
        ranges.note(number)


def finish(ranges: Ranges) -> None:
    for _ in range(ranges.count):
        ranges.hash()
    ranges.finish()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_ranges_may_come_in_any_order(tmp_path: Path) -> None:
    ranges = begin(tmp_path / "a")
    with ranges.open():
        assert ranges.missing == list(range(11))
        bring(ranges, *reversed(range(11)))
        finish(ranges)

    assert (tmp_path / "a").read_bytes() == CONTENT
    assert names(tmp_path) == ["a"]


def test_what_arrived_is_there_for_the_next_one(tmp_path: Path) -> None:
    ranges = begin(tmp_path / "a")
    with ranges.open():
        bring(ranges, 0, 3, 10)
    following = begin(tmp_path / "a")
    with following.open():
        assert following.missing == [1, 2, 4, 5, 6, 7, 8, 9]
        bring(following, *following.missing)
        finish(following)

    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("notes", ["", "x", "1000 10500\n1\n2", "999 10500\n1\n2\n", "1000 10500\nx\n", "\n1\n"])
def test_notes_that_are_cut_or_of_another_size_are_believed_only_so_far(tmp_path: Path, notes: str) -> None:
    with begin(tmp_path / "a").open():
        pass
    (tmp_path / f".{ARTIFACT.digest}.ranges").write_text(notes)
    ranges = begin(tmp_path / "a")
    with ranges.open():
        missing = ranges.missing

    assert missing == [number for number in range(11) if number != 1 or notes != "1000 10500\n1\n2"]


def test_wrong_bytes_are_gone_at_once(tmp_path: Path) -> None:
    ranges = begin(tmp_path / "a")
    with ranges.open():
        bring(ranges, *range(11), content=bytes(len(CONTENT)))
        with pytest.raises(TransferFailed, match="not those stored") as caught:
            finish(ranges)

    assert caught.value.transient
    assert names(tmp_path) == []


def test_two_at_once_do_not_share_a_file(tmp_path: Path) -> None:
    first, second = begin(tmp_path / "a"), begin(tmp_path / "b")
    with first.open(), second.open():
        bring(first, *range(11))
        assert second.missing == list(range(11))
        bring(second, *range(11))
        finish(second)
        finish(first)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT
    assert names(tmp_path) == ["a", "b"]


def test_a_link_in_the_place_of_the_partial_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / f".{ARTIFACT.digest}.partial").symlink_to("other")

    with pytest.raises(OSError, match="symbolic links"), begin(tmp_path / "a").open():
        pass
    assert (tmp_path / "other").read_text() == "other"


def test_a_sequence_that_begins_anew_forgets_what_came(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as file:
        sequential = Sequential(file, ARTIFACT, Silent())
        sequential.take(0, b"wrong")
        sequential.take(0, CONTENT)
        sequential.check()

    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_target_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "a").symlink_to("other")
    with replacing(tmp_path / "a") as file:
        file.write(b"new")

    assert (tmp_path / "other").read_text() == "other"
    assert not (tmp_path / "a").is_symlink()
