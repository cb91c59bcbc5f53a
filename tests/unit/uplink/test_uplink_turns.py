"""Which spools are carried now, and which make way."""

from dataclasses import dataclass
from pathlib import Path

from runstream._spool.places import progress_of
from runstream._spool.progress import ProgressFile
from runstream._spool.writer import SpoolWriter
from runstream._uplink.turns import Shares, Turns

RUN, ADDRESS = "workspaces/space/runs/run", "127.0.0.1:9"


@dataclass
class Carried:
    """A spool on its way."""

    is_stuck: bool
    serves: bool = False

    def rests(self, seconds: float) -> bool:
        return False


def carry_up(spool: Path) -> None:
    """Notes that the values of a spool are stored."""
    progress = ProgressFile(progress_of(spool))
    progress.save(progress.progress._replace(offset=spool.stat().st_size))
    progress.close()


def test_of_spools_without_a_writer_those_make_way_that_only_wait_for_the_bucket(
    tmp_path: Path,
) -> None:
    for _ in range(3):
        SpoolWriter(tmp_path, RUN, ADDRESS).finish()
    these = Turns(tmp_path, Shares(left_at_once=2, turn_seconds=-1.0))
    stuck, busy = begun = these.begin(these.waiting([]), [])
    (other,) = these.waiting(begun)
    carried = {stuck: Carried(is_stuck=True), busy: Carried(is_stuck=False)}

    assert these.begin([other], begun) == []
    assert these.over(1, carried) == [stuck]
    these.end(stuck)
    assert these.begin(these.waiting([busy]), [busy]) == [other]


def test_the_next_spool_of_a_process_has_its_turn_once_the_values_before_it_are_stored(tmp_path: Path) -> None:
    first = SpoolWriter(tmp_path, RUN, ADDRESS)
    second = SpoolWriter(tmp_path, RUN, ADDRESS, first)
    these = Turns(tmp_path)
    first.finish(goes_on=True)
    assert these.waiting([]) == [first.path]

    carry_up(first.path)
    assert set(these.waiting([])) == {first.path, second.path}
    second.add_double("loss", 1.0, 1, None)
    second.finish()
    assert set(these.waiting([])) == {first.path, second.path}
    carry_up(second.path)
    assert these.waiting([]) == [first.path]  # its files come before those of the second

    first.path.unlink()
    assert these.waiting([]) == [second.path]
