"""A process that logs much writes one spool after the other, and no more than it may."""

import errno
import logging
from pathlib import Path

import pytest

from runstream._spool import RunSpool
from runstream._spool.format import FINISH, FOLLOW_FILE, Header
from runstream._spool.lock import is_held_once
from runstream._spool.places import group_folder, progress_of, spools_in
from runstream._spool.reader import Damage, SpoolReader
from runstream._spool.records import Record, decode_finish
from runstream._spool.room import LIMIT_VARIABLE, spool_limit, why

ADDRESS = "127.0.0.1:1"


def fill(spool: RunSpool, name: str = "loss") -> None:
    """Logs as much as a spool has room for, and lets the process look after it."""
    for number in range(4_000):
        spool.log(name, float(number))
    spool._tend_safely()


def parts() -> list[tuple[Header, list[Record | Damage]]]:
    """The spools in the order in which they were written."""
    found = {}
    for path in spools_in(group_folder(ADDRESS)):
        reader = SpoolReader(path)
        found[reader.header.after] = reader.header, reader.read(final=True)
        reader.close()
    chain, after = [], ""
    while after in found:
        chain.append(found[after])
        after = chain[-1][0].writer
    assert len(chain) == len(found)
    return chain


def test_a_long_spool_goes_on_in_another_one(spool: RunSpool, tmp_path: Path) -> None:
    spool.follow_file("a.txt", tmp_path / "a.txt")
    fill(spool)
    fill(spool)
    spool.log("loss", 1.0)
    spool.finish()

    (first, one), (second, two), (third, three) = parts()
    assert [first.first, second.first, third.first] == [first.writer] * 3
    for records, goes_on in ((one, True), (two, True), (three, False)):
        last = records[-1]
        assert isinstance(last, Record)
        assert last.type == FINISH
        assert decode_finish(last.body) is goes_on
        assert any(isinstance(record, Record) and record.type == FOLLOW_FILE for record in records)


def test_no_other_spool_is_begun_while_who_writes_is_interrupted(spool: RunSpool) -> None:
    with spool._lock:
        assert is_held_once(spool._lock)
        fill(spool)
        with spool._lock:
            assert not is_held_once(spool._lock)

    assert len(parts()) == 1


def test_at_the_limit_the_loss_is_counted_and_told_once(spool: RunSpool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "runstream"):
        for _ in range(5):
            fill(spool)
        written = sum(path.stat().st_size for path in spools_in(group_folder(ADDRESS)))
        fill(spool)
        fill(spool, "accuracy")
        fill(spool, "accuracy")

    assert sum(path.stat().st_size for path in spools_in(group_folder(ADDRESS))) == written
    assert len([record for record in caplog.records if LIMIT_VARIABLE in record.getMessage()]) == 1
    drops = [read_drops(path) for path in spools_in(group_folder(ADDRESS))]
    assert sum(each[0] for each in drops) == 16_000
    assert (errno.EDQUOT, 2) in [each[1:] for each in drops]


def test_what_is_carried_up_makes_room_again(spool: RunSpool) -> None:
    for _ in range(6):
        fill(spool)
    for path in spools_in(group_folder(ADDRESS))[:-1]:
        if path.stat().st_size > 100_000 and path != spool._writer.path:  # type: ignore[union-attr]
            path.unlink()
            progress_of(path).unlink()
    spool._tend_safely()
    before = sum(path.stat().st_size for path in spools_in(group_folder(ADDRESS)))
    spool.log("loss", 1.0)

    assert sum(path.stat().st_size for path in spools_in(group_folder(ADDRESS))) > before


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("1000", 1000),
        ("2k", 2048),
        ("500MiB", 500 << 20),
        ("1.5 GB", 3 << 29),
        ("", 10 << 30),
        ("x", 10 << 30),
    ],
)
def test_the_limit_may_have_a_unit(monkeypatch: pytest.MonkeyPatch, said: str, limit: int) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, said)

    assert spool_limit() == limit


def test_reasons_are_said_for_people() -> None:
    assert why(0) == ""
    assert why(errno.ENOSPC) == "No space left on device"
    assert LIMIT_VARIABLE in why(errno.EDQUOT)


def read_drops(path: Path) -> tuple[int, int, int]:
    reader = SpoolReader(path)
    drops = reader.drops()
    reader.close()
    return drops.value_count, drops.errno, drops.metric_count
