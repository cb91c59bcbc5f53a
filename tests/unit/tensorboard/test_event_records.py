"""Event files, as TensorBoard itself reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.exceptions import UserErrorException
from runstream.tensorboard._events import first_record, scalar_records
from runstream.tensorboard._exported import EVENTS_NAME, Exported
from tests.event_files import Scalar, scalars_of

INT64 = st.integers(-(2**63), 2**63 - 1)
POINTS = st.lists(st.tuples(st.integers(0, 300) | INT64, st.integers(0, 2**51), st.floats(width=32)), max_size=20)


@given(tag=st.text(st.characters(codec="utf-8"), min_size=1), points=POINTS)
def test_tensorboard_reads_what_was_written(tag: str, points: list[tuple[int, int, float]]) -> None:
    columns: Any = [np.array(column) for column in zip(*points, strict=True)] if points else []
    records = scalar_records(tag, *columns) if points else b""

    read = scalars_of(first_record(1.5) + records)

    expected = [Scalar(tag, step, time / 1e6, value) for step, time, value in points]
    assert repr(read) == repr(expected)  # NaN is not equal to itself


def test_numbers_of_other_types_become_scalars_too() -> None:
    steps, times = [1, 2], [0, 0]
    records = [scalar_records("tag", steps, times, values) for values in ([True, False], [2**40, -1], [1e300, -1e300])]

    read = [scalar.value for scalar in scalars_of(b"".join(records))]

    assert read == [1.0, 0.0, 2.0**40, -1.0, float("inf"), float("-inf")]


def test_what_was_not_noted_when_a_process_was_killed_is_cut_off(tmp_path: Path) -> None:
    whole, torn = (scalar_records("tag", [step], [0], [0.5]) for step in (1, 2))
    with Exported.opened(tmp_path) as exported:
        exported.append(whole)
        exported.progress["tag"] = 1
    with (tmp_path / EVENTS_NAME).open("ab") as file:
        file.write(torn[:-3])

    with Exported.opened(tmp_path) as again:
        progress = dict(again.progress)
        again.append(torn)

    assert progress == {"tag": 1}
    assert (tmp_path / EVENTS_NAME).read_bytes() == whole + torn


def test_two_exports_to_one_folder_at_once_are_refused(tmp_path: Path) -> None:
    with Exported.opened(tmp_path), pytest.raises(UserErrorException, match="already"), Exported.opened(tmp_path):
        """Not reached."""


def test_a_file_that_is_gone_is_begun_again(tmp_path: Path) -> None:
    with Exported.opened(tmp_path) as exported:
        exported.append(b"records")
        exported.progress["tag"] = 1
    (tmp_path / EVENTS_NAME).unlink()

    with Exported.opened(tmp_path) as again:
        assert again.is_new
        assert not again.progress
