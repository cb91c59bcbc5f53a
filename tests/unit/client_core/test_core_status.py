"""Section 6: names and groups of statuses."""

import pytest

from runstream.api.runs.v1 import run_pb2
from runstream.core._status import TERMINAL, ends_wait, status_name

NAMES = """
    NotStarted Unapproved Pausing Paused Starting Preparing Provisioning Queued Running Finalizing CancelRequested
    Completed Failed Canceled NotResponding
""".split()  # noqa: SIM905


def test_every_status_has_the_name_of_the_specification() -> None:
    values = [value for value in run_pb2.RunStatus.values() if value != run_pb2.RUN_STATUS_UNSPECIFIED]

    assert sorted(map(status_name, values)) == sorted(NAMES)


@pytest.mark.parametrize("value", [0, 99, -1])
def test_an_unknown_status_counts_as_running(value: int) -> None:
    assert status_name(value) == "Running"


@pytest.mark.parametrize("name", NAMES)
def test_only_terminal_statuses_and_a_requested_cancel_end_a_wait(name: str) -> None:
    assert ends_wait(name, wait_post_processing=False) == (name in TERMINAL or name == "CancelRequested")
    assert ends_wait(name, wait_post_processing=True) == (name in {"Completed", "Failed", "Canceled"})
