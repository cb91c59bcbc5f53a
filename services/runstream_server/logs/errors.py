"""What can go wrong with logs."""

from runstream_server.errors import FailedPrecondition, InvalidArgument, NotFound
from runstream_server.names import RunName


class OffsetGap(FailedPrecondition):
    """Bytes are missing before the ones that came."""

    reason = "OFFSET_GAP"

    def __init__(self, expected: int) -> None:
        super().__init__(f"the byte at {expected} has to come next; send again from it on", expected=expected)


class WriterMismatch(FailedPrecondition):
    """Another writer owns the file."""

    reason = "WRITER_MISMATCH"

    def __init__(self, path: str) -> None:
        super().__init__(f"another writer owns the log {path}; write to another path", path=path)


class LogNotFound(NotFound):
    """The run has no such log."""

    reason = "LOG_NOT_FOUND"

    def __init__(self, run: RunName, path: str) -> None:
        super().__init__(f"the run {run} has no log {path}; ListLogs tells which there are", run=run, path=path)


class LogExpired(FailedPrecondition):
    """The log was removed because it was old enough."""

    reason = "LOG_EXPIRED"

    def __init__(self, run: RunName, path: str) -> None:
        super().__init__(
            f"the retention of the workspace has removed the log {path} of the run {run}; write to another path",
            run=run,
            path=path,
        )


class InvalidCursor(InvalidArgument):
    """A cursor is not from an earlier call for the same."""

    reason = "INVALID_CURSOR"

    def __init__(self) -> None:
        super().__init__("the cursor is not from an earlier call with the same fields; start again without it")


class InvalidPattern(InvalidArgument):
    """A regular expression cannot be searched for."""

    reason = "INVALID_PATTERN"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the regular expression cannot be searched for: {problem}; correct it", problem=problem)
