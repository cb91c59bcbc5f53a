"""What can go wrong with metrics."""

from runstream_server.errors import FailedPrecondition


class SequenceGap(FailedPrecondition):
    """A batch is missing before the one that came."""

    reason = "SEQUENCE_GAP"

    def __init__(self, durable: int) -> None:
        expected = durable + 1
        super().__init__(f"batch {expected} has to come next; send again from it on", expected=expected)
