"""Files that are logged take room too, and what is lost is told: how much, of what, and to whom asks."""

import logging
import os
import threading
from pathlib import Path

import pytest

from runstream._spool import RunSpool
from runstream._spool.artifacts import IMAGE
from runstream._spool.flush import Consignment
from runstream._spool.inventory import look_at
from runstream._spool.places import SPOOL_VARIABLE, files_of, group_folder, spool_root
from runstream._spool.queue import TEND_MICROSECONDS, is_due
from runstream._spool.reader import SpoolReader
from runstream._spool.room import LIMIT_VARIABLE
from runstream.exceptions import AzureMLException

KIB = 1024


def kept(spool: RunSpool) -> list[int]:
    """The sizes of the files that wait, by number."""
    assert spool._writer is not None
    folder = files_of(spool._writer.path)
    files = sorted(folder.iterdir(), key=lambda file: int(file.name)) if folder.is_dir() else []
    return [file.stat().st_size for file in files]


def losses(spool: RunSpool) -> str:
    """What a flush would say was lost."""
    return spool._reports.take_losses()


def test_files_count_and_leave_room_to_numbers(spool: RunSpool) -> None:
    for number in range(8):
        spool.log_artifact("image", IMAGE, f"{number}.png", bytes(90 * KIB))
    spool._tend_safely()
    spool.log("loss", 1.0)

    assert kept(spool) == [90 * KIB] * 3  # of 400 KiB that there are, 100 are for numbers
    lost = losses(spool)
    assert lost.count("could not be written") == 1
    assert "5 could not be written" in lost
    assert LIMIT_VARIABLE in lost


def test_a_file_that_is_stored_makes_room_for_the_next(spool: RunSpool) -> None:
    for _ in range(3):
        spool.log_artifact("image", IMAGE, "a.png", bytes(90 * KIB))
    assert spool._writer is not None
    (files_of(spool._writer.path) / "1").unlink()
    spool.log_artifact("image", IMAGE, "b.png", bytes(90 * KIB))

    assert not losses(spool)
    assert len(kept(spool)) == 3


def test_a_large_file_is_refused_before_it_is_copied(spool: RunSpool, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(500 * KIB))
    spool.log_artifact("image", IMAGE, "large.png", large)

    assert kept(spool) == []
    assert "1 could not be written" in losses(spool)


def test_a_file_that_cannot_be_noted_leaves_nothing_behind(spool: RunSpool) -> None:
    spool.log("loss", 1.0)
    assert spool._writer is not None
    spool._writer.hold_back()
    spool.log_artifact("image", IMAGE, "a.png", b"a")
    spool._writer.resume()

    assert kept(spool) == []
    spool.log("image", 2.0)
    assert "MIXED_KINDS" not in losses(spool)
    spool.log_artifact("other", IMAGE, "a.png", b"a")
    assert kept(spool) == [1]


def test_files_that_wait_are_pending(spool: RunSpool) -> None:
    spool.log_artifact("image", IMAGE, "a.png", bytes(90 * KIB))
    assert spool._writer is not None
    writer = spool._writer

    found = look_at(writer.path)
    assert found is not None
    assert found.pending_bytes > 90 * KIB
    consignment = Consignment(writer.path, writer.kept)
    before = consignment.pending_bytes
    (files_of(writer.path) / "1").unlink()
    assert before - consignment.pending_bytes == 90 * KIB


def test_the_loss_of_several_metrics_at_once_is_that_of_each(spool: RunSpool) -> None:
    spool.log("loss", 1.0)
    assert spool._writer is not None
    spool._writer.hold_back()
    spool.log_many({"loss": 1.0, "accuracy": 0.5, "rate": 0.1})
    reader = SpoolReader(spool._writer.path)

    assert (reader.drops().value_count, reader.drops().metric_count) == (3, 3)
    reader.close()


def test_a_handler_of_the_log_may_wait_for_another_thread_that_logs(spool: RunSpool) -> None:
    class Logs(logging.Handler):
        """Counts warnings as a metric, from a thread."""

        done = False

        def emit(self, record: logging.LogRecord) -> None:
            thread = threading.Thread(target=spool.log, args=("warnings", 1.0), daemon=True)
            thread.start()
            thread.join(10.0)
            self.done = not thread.is_alive()

    handler = Logs()
    logging.getLogger("runstream").addHandler(handler)
    try:
        spool.log("x" * 300, 1.0)
    finally:
        logging.getLogger("runstream").removeHandler(handler)

    assert handler.done


@pytest.mark.parametrize(
    ("due", "time", "is_so"),
    [
        (0, 10**15, True),
        (10**15, 10**15 - 1, False),
        (10**15, 10**15, True),
        (10**15, 10**15 - TEND_MICROSECONDS, False),
        (10**15, 10**15 - 3_600_000_000, True),
    ],
    ids=["never done", "not yet", "now", "just done", "the clock was set back"],
)
def test_what_is_done_every_second_is_done_whatever_the_clock_does(due: int, time: int, is_so: bool) -> None:
    assert is_due(due, time) is is_so


def test_a_program_that_changes_its_folder_keeps_its_spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SPOOL_VARIABLE, f"spools-of-{os.getpid()}")
    before = group_folder("127.0.0.1:1")
    monkeypatch.chdir("/")

    assert group_folder("127.0.0.1:1") == before
    assert spool_root().parent == tmp_path


def test_a_flush_says_what_was_lost_once(spool: RunSpool) -> None:
    spool.log("x" * 300, 1.0)
    with pytest.raises(AzureMLException, match="INVALID_NAME"):
        spool._reports.raise_losses()
    spool._reports.raise_losses()
