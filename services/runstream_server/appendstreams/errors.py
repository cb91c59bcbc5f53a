"""What can go wrong between a writer and its stream."""

from runstream_server.errors import Aborted, FailedPrecondition


class WriterFenced(Aborted):
    """A newer stream of the same writer was opened."""

    reason = "WRITER_FENCED"

    def __init__(self) -> None:
        super().__init__("a newer stream of this writer was opened; leave the rest to it")


class WriterDiverged(FailedPrecondition):
    """The client and the service do not mean the same data."""

    reason = "WRITER_DIVERGED"

    def __init__(self, believed: int, durable: int) -> None:
        super().__init__(
            f"the client believes that everything up to {believed} is durable, the service has other data or only up to"
            f" {durable}; the spool was rewritten or restored: go on with it as a new writer",
            believed=believed,
            durable=durable,
        )
