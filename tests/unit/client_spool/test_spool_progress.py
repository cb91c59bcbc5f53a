"""How far a spool is carried, and what happened to it, as the uplink says and the writer reads."""

from pathlib import Path

import pytest

from runstream._spool.events import EventReader, Refusal, Stop, Warned, append_event
from runstream._spool.progress import SLOTS, Batch, Progress, ProgressFile, create_progress, read_progress

REFUSAL = Refusal("loss", "INVALID_NAME", "choose another", 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.progress"


def batch(sequence: int) -> Batch:
    return Batch(sequence, sequence * 10, sequence * 10 + 10, bytes([sequence % 256]) * 32)


def test_a_new_spool_has_not_moved(path: Path) -> None:
    create_progress(path)

    assert read_progress(path) is None
    assert ProgressFile(path).progress == Progress()


def test_progress_is_read_as_saved(path: Path) -> None:
    saved = Progress(offset=2**40, sequence=7, mark=3, stopped=True)

    ProgressFile(path).save(saved)

    assert read_progress(path) == saved
    assert ProgressFile(path).progress == saved


def test_damaged_progress_is_none(path: Path) -> None:
    ProgressFile(path).save(Progress(offset=5))
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)

    assert read_progress(path) is None


def test_the_last_batches_are_known_and_older_ones_forgotten(path: Path) -> None:
    file = ProgressFile(path)
    for sequence in range(1, SLOTS + 11):
        file.add_batch(batch(sequence))

    assert [file.batch(sequence) for sequence in range(11, SLOTS + 11)] == [
        batch(sequence) for sequence in range(11, SLOTS + 11)
    ]
    assert file.batch(10) is None
    assert file.batch(SLOTS + 11) is None


def test_a_damaged_batch_is_not_known(path: Path) -> None:
    file = ProgressFile(path)
    file.add_batch(batch(1))
    data = bytearray(path.read_bytes())
    data[2 * 64 + 20] ^= 1
    path.write_bytes(data)

    assert ProgressFile(path).batch(1) is None


def test_the_file_never_grows(path: Path) -> None:
    file = ProgressFile(path)
    before = path.stat().st_size

    for sequence in range(1, 3 * SLOTS):
        file.add_batch(batch(sequence))
        file.save(Progress(offset=sequence))

    assert path.stat().st_size == before


def test_each_event_is_handed_out_once(tmp_path: Path) -> None:
    path = tmp_path / "one.events"
    reader = EventReader(path)
    assert reader.read() == []

    append_event(path, REFUSAL)
    append_event(path, Warned("lost"))
    assert reader.read() == [REFUSAL, Warned("lost")]
    append_event(path, Stop("RUN_NOT_FOUND", "no such run"))
    assert reader.read() == [Stop("RUN_NOT_FOUND", "no such run")]
    assert reader.read() == []


def test_half_an_event_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "one.events"
    append_event(path, REFUSAL)
    line = path.read_bytes()
    reader = EventReader(path)

    path.write_bytes(line[:-5])
    assert reader.read() == []
    path.write_bytes(line)
    assert reader.read() == [REFUSAL]


def test_a_line_that_is_no_event_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "one.events"
    path.write_bytes(b'garbage\n["later", 1]\n["warned"]\n')
    append_event(path, REFUSAL)

    assert EventReader(path).read() == [REFUSAL]
