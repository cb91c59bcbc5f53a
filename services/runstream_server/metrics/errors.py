"""What can go wrong with metrics."""

from runstream_server.errors import FailedPrecondition, InvalidArgument
from runstream_server.names import RunName


class SequenceGap(FailedPrecondition):
    """A batch is missing before the one that came."""

    reason = "SEQUENCE_GAP"

    def __init__(self, durable: int) -> None:
        expected = durable + 1
        super().__init__(f"batch {expected} has to come next; send again from it on", expected=expected)


class InvalidCursor(InvalidArgument):
    """A position of a cursor is none of its series."""

    reason = "INVALID_CURSOR"

    def __init__(self, run: RunName, metric: str) -> None:
        super().__init__(
            f"the cursor has no valid position of {metric} of {run}: one for each series, up to its number of values; "
            "start again without it",
            run=run,
            metric=metric,
        )
