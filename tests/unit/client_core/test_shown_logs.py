"""Which log file of a run is shown."""

from collections.abc import Sequence

import pytest

from runstream.api.logs.v1.log_service_pb2 import LogFile
from runstream.core._run.logs import shown_log

BUILD = "azureml-logs/20_image_build_log.txt"
LOG = "user_logs/std_log"


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        ([], None),
        ([BUILD], BUILD),
        ([BUILD, f"{LOG}.txt", "logs/user_log.txt"], f"{LOG}.txt"),
        ([f"{LOG}_process_1.txt", f"{LOG}_process_0.txt"], f"{LOG}_process_0.txt"),
        ([BUILD, f"{LOG}_process_1.txt"], BUILD),
        ([f"{LOG}.txt", f"{LOG}_attempt_2.txt", f"{LOG}_attempt_10.txt"], f"{LOG}_attempt_10.txt"),
        ([f"{LOG}_process_0.txt", f"{LOG}_attempt_2_process_0.txt"], f"{LOG}_attempt_2_process_0.txt"),
        (["logs/user_log.txt", "logs/other.txt"], "logs/user_log.txt"),
    ],
)
def test_the_log_of_the_last_execution_is_shown(paths: Sequence[str], shown: str | None) -> None:
    found = shown_log([LogFile(path=path) for path in paths])

    assert (found.path if found else None) == shown
