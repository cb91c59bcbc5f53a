"""The log files of a run."""

import re
from collections.abc import AsyncIterator
from typing import Generic

from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.core._forms import E, R, W
from runstream.core._run.record import RunRecord

PAGE_SIZE = 1000
OLD_DRIVER_LOG = re.compile(r"azureml-logs/70_driver_log(?:_(?P<rank>\d+))?\.txt")


class LogCalls(RunRecord[W, E, R], Generic[W, E, R]):
    """Reads log files."""

    async def _list_logs(self) -> list[logs_api.LogFile]:
        connection = self._connection()
        request = logs_api.ListLogsRequest(parent=self._record.name, page_size=PAGE_SIZE)
        found: list[logs_api.LogFile] = []
        while True:
            response = await connection.call(connection.logs.ListLogs, request)
            found.extend(response.logs)
            request.page_token = response.next_page_token
            if not request.page_token:
                return found

    def _read_log(self, path: str) -> AsyncIterator[logs_api.ReadLogResponse]:
        connection = self._connection()
        return connection.stream(connection.logs.ReadLog, logs_api.ReadLogRequest(run=self._record.name, path=path))

    async def _log_text(self, path: str) -> str:
        parts = [response.data async for response in self._read_log(path)]
        return b"".join(parts).decode("utf-8", "replace")


def stored_log(name: str) -> str:
    """The log file that a name of the older layout stands for; other names stay as they are."""
    if (old := OLD_DRIVER_LOG.fullmatch(name)) is None:
        return name
    return f"user_logs/std_log_process_{old['rank']}.txt" if old["rank"] else "user_logs/std_log.txt"
