"""A signal handler that raises, wherever it comes, leaves no spool behind that nobody writes to."""

import itertools
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType

import pytest

from runstream._spool import RunSpool
from runstream._spool.places import group_folder, spools_in
from tests.spool_scenes import ADDRESS, RUN, read


class Interruption(BaseException):
    """What a signal handler raises."""


def interrupted(work: Callable[[], object], at: int) -> bool:
    """Does some work, and raises at the start of one of the functions it calls; false: it calls fewer of them."""
    calls = itertools.count(1)

    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and next(calls) == at:
            raise Interruption

    try:
        sys.setprofile(interrupt)
        work()
    except Interruption:
        return True
    finally:
        sys.setprofile(None)
    return False


@pytest.mark.usefixtures("spool")  # nobody carries what is logged here
def test_where_the_begin_of_a_spool_is_interrupted_none_is_left() -> None:
    for at in itertools.count(1):
        spool = RunSpool(RUN, ADDRESS)
        is_interrupted = interrupted(partial(spool.log, "loss", 1.0), at)
        spool.log("loss", 2.0)
        (path,) = spools_in(group_folder(ADDRESS))
        assert read(path).values["loss"][-1] == 2.0
        spool.finish()
        path.unlink()
        if not is_interrupted:
            break


def test_where_the_begin_of_the_next_spool_is_interrupted_no_empty_one_is_left(spool: RunSpool) -> None:
    for at in itertools.count(1):
        spool.log("loss", float(at))
        writer, consignment = spool._writer, spool._consignment
        assert writer is not None
        assert consignment is not None
        with spool._lock:
            is_interrupted = interrupted(partial(spool._go_on, writer, consignment), at)
        assert spool._writer is not None
        empty = {path for path in spools_in(group_folder(ADDRESS)) if not read(path).values}
        assert empty <= {spool._writer.path}
        if not is_interrupted:
            break
