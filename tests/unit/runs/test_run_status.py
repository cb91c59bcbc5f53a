"""The status machine, against the table of the SDK surface."""

import pytest

from runstream.api.runs.v1 import run_pb2
from runstream_server.runs.convert.encoding import STATUSES, encode_status
from runstream_server.runs.status import FOLLOWERS, TERMINAL, RunStatus

TABLE = """
NotStarted: Starting Provisioning Preparing Queued Running CancelRequested Canceled Failed Unapproved
Starting: Provisioning Preparing Queued Running CancelRequested Canceled Failed
Provisioning: Preparing Queued Running CancelRequested Canceled Failed
Preparing: Queued Running CancelRequested Canceled Failed
Queued: Running Preparing Paused CancelRequested Canceled Failed
Running: Finalizing Completed Failed CancelRequested Canceled NotResponding Pausing
Pausing: Paused CancelRequested Canceled Failed
Paused: Queued Running CancelRequested Canceled Failed
Finalizing: Completed Failed CancelRequested Canceled
CancelRequested: Canceled Completed Failed
Unapproved: Starting Queued CancelRequested Canceled Failed
NotResponding: Running Queued Completed Failed Canceled
Completed:
Failed:
Canceled:
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_each_status_leads_where_the_table_says(line: str) -> None:
    status, followers = line.split(":")

    assert {follower.value for follower in FOLLOWERS[RunStatus(status)]} == set(followers.split())


def test_the_table_is_complete() -> None:
    assert set(FOLLOWERS) == set(RunStatus)
    assert {status for status in RunStatus if status.is_terminal} == TERMINAL


def test_no_status_follows_itself() -> None:
    assert not [status for status in RunStatus if status in FOLLOWERS[status]]


def test_every_status_has_a_number_in_the_contract_and_is_named_like_it() -> None:
    numbers = set(run_pb2.RunStatus.values()) - {run_pb2.RUN_STATUS_UNSPECIFIED}

    assert {encode_status(status) for status in RunStatus} == numbers == set(STATUSES)
    for status in RunStatus:
        name = run_pb2.RunStatus.Name(encode_status(status)).removeprefix("RUN_STATUS_")
        assert name.replace("_", "").lower() == status.value.lower()
