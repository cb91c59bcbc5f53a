"""The log files of a run."""

import re
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Generic

from runstream._channel.pages import pages
from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.core._forms import E, R, W
from runstream.core._log_reading import read_log
from runstream.core._recording import OutputRecording, start_recording
from runstream.core._run.record import RunRecord

PAGE_SIZE = 1000
STANDARD_LOG = "user_logs/std_log.txt"
PROCESS_LOG = re.compile(r"user_logs/std_log(?:_attempt_(?P<attempt>\d+))?(?:_process_(?P<number>\d+))?\.txt")
JOB_LOG = re.compile(r"azureml-logs/\d\d.*\.txt")
OWN_LOG = "logs/user_log.txt"
OLD_DRIVER_LOG = re.compile(r"azureml-logs/70_driver_log(?:_(?P<rank>\d+))?\.txt")


class LogCalls(RunRecord[W, E, R], Generic[W, E, R]):
    """Writes and reads log files."""

    def capture_output(self) -> OutputRecording:
        """Records everything this process prints from now on in the log file `user_logs/std_log.txt` of the run.

            run = experiment.start_logging(capture_output=True)      # from the beginning

            with run.capture_output():                               # or for a while
                train()

        What native code and started programs print is recorded as well as what Python prints, in scripts and in
        notebooks, and is shown as before. Forked processes have files of their own, `std_log_process_01.txt` for
        example, and so has each process of a distributed job, by its `RANK`. It goes on until the run is completed or
        failed, the recording is stopped, or the process ends, however it ends.

        Printing never fails because of it. Where it is not possible there is a warning instead.
        """
        return start_recording(self._record.name, self._spool())

    async def _list_logs(self) -> list[logs_api.LogFile]:
        connection = self._connection()
        request = logs_api.ListLogsRequest(parent=self._record.name, page_size=PAGE_SIZE)
        listed = pages(connection, connection.logs.ListLogs, request)
        return [log async for page in listed for log in page.logs]

    def _read_log(self, path: str) -> AsyncGenerator[logs_api.ReadLogResponse, None]:
        return read_log(self._connection, logs_api.ReadLogRequest(run=self._record.name, path=path))

    async def _log_text(self, path: str) -> str:
        parts = [response.data async for response in self._read_log(path)]
        return b"".join(parts).decode("utf-8", "replace")


def shown_log(logs: Sequence[logs_api.LogFile]) -> logs_api.LogFile | None:
    """Which of the log files of a run has what is printed now; None: none of them.

    Of the files of a job it is the last one in their order, of its processes the first one's in the last execution;
    else it is what the `with` statement of the run recorded.
    """
    by_path = {log.path: log for log in logs}
    numbers = {path: numbers_of(path) for path in by_path if PROCESS_LOG.fullmatch(path)}
    of_job = [path for path in by_path if JOB_LOG.fullmatch(path)]
    last = max((attempt for attempt, _ in numbers.values()), default=0)
    ranks = [(number != 0, number, path) for path, (attempt, number) in numbers.items() if attempt == last]
    first = min(ranks)[2] if ranks else ""
    if first and (numbers[first][1] <= 0 or not of_job):
        return by_path[first]
    return by_path[max(of_job)] if of_job else by_path.get(OWN_LOG)


def numbers_of(path: str) -> tuple[int, int]:
    """Which execution of a run, from 1, and which of its processes the log of a process is of; -1: the only process."""
    found = PROCESS_LOG.fullmatch(path)
    return (int(found["attempt"] or 1), int(found["number"] or -1)) if found else (0, -1)


def stored_log(name: str, names: Collection[str]) -> str:
    """Which of the files `names` of a run a name of the older layout stands for; other names stay as they are."""
    old = OLD_DRIVER_LOG.fullmatch(name)
    if old is None or name in names:
        return name
    number = int(old["rank"] or 0)
    numbered = {rank: path for path in names for attempt, rank in [numbers_of(path)] if attempt == 1 and rank >= 0}
    if not number and STANDARD_LOG in names:
        return STANDARD_LOG
    return numbered.get(number, name) if old["rank"] else name
