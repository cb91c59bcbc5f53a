"""Things that are deleted, where a caller wants that to be refused."""

from runstream_server.errors import FailedPrecondition
from runstream_server.names import RunName


class RunDeleted(FailedPrecondition):
    """The run is deleted, by itself or with its experiment."""

    reason = "RUN_DELETED"

    def __init__(self, name: RunName) -> None:
        super().__init__(f"{name} is deleted, or its experiment is archived; restore it first", run=name)
