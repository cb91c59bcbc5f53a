"""The journal of what is asked of the services offline."""

import contextlib
import os
from pathlib import Path

import pytest

from runstream._journal.journal import (
    Journal,
    JournalDamaged,
    done_bytes,
    files_of,
    journals_in,
    note_done,
    read_entries,
    remove_journal,
)
from runstream._spool.lock import is_live


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal with three entries."""
    journal = Journal(tmp_path)
    for number in range(3):
        journal.add(f"Method{number}", bytes(number))
    return journal


def test_entries_are_read_as_written_in_order(journal: Journal) -> None:
    entries = list(read_entries(journal.path))

    assert [(entry.method, entry.request) for entry in entries] == [
        ("Method0", b""),
        ("Method1", b"\0"),
        ("Method2", b"\0\0"),
    ]
    assert entries[0].time <= entries[1].time <= entries[2].time
    assert list(read_entries(journal.path, entries[0].end)) == entries[1:]


def test_an_entry_that_is_cut_off_at_any_byte_is_left_out(journal: Journal) -> None:
    data = journal.path.read_bytes()
    entries = list(read_entries(journal.path))

    for length in range(entries[1].end, len(data)):
        journal.path.write_bytes(data[:length])
        assert list(read_entries(journal.path)) == entries[:2]


def test_each_flipped_bit_of_an_entry_is_noticed(journal: Journal) -> None:
    data = journal.path.read_bytes()
    first, second, _ = read_entries(journal.path)

    for bit in range(8 * first.end, 8 * second.end):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        journal.path.write_bytes(damaged)
        entries = read_entries(journal.path)
        assert next(entries) == first
        with contextlib.suppress(JournalDamaged):
            assert not list(entries)


def test_what_is_done_is_noted_and_a_journal_is_removed_as_a_whole(journal: Journal) -> None:
    journal.keep([b"content"])
    assert done_bytes(journal.path) == 0
    note_done(journal.path, 17)
    assert done_bytes(journal.path) == 17

    remove_journal(journal.path)

    assert not files_of(journal.path).exists()
    assert not list(journal.path.parent.iterdir())


def test_files_are_kept_as_they_were(journal: Journal, tmp_path: Path) -> None:
    source = tmp_path / "model.txt"
    source.write_text("early")
    (copy,) = journal.keep([source])
    source.write_text("late")

    assert copy.read_text() == "early"


def test_a_forked_child_has_a_journal_of_its_own(journal: Journal, tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        journal.leave_parent()
        journal.add("OfChild", b"")
        os._exit(0)
    os.waitpid(child, 0)
    journal.add("OfParent", b"")

    found = [[entry.method for entry in read_entries(path)] for path in journals_in(tmp_path)]
    assert sorted(found) == [["Method0", "Method1", "Method2", "OfParent"], ["OfChild"]]
    assert is_live(journal.path)
