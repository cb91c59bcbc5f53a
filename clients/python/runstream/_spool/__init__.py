"""The spool: what a process logs is appended to a file of its own, which the uplink carries to the services.

No grpc here, no thread and no socket: nothing competes with the training, breaks in a forked process or waits for the
network. `runstream._spool.format` describes the file, `runstream._spool.places` where it is. Its modules are imported
when they are used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstream._spool.run_spool import RunSpool

__all__ = ["RunSpool"]


def __getattr__(name: str) -> Any:
    if name == "RunSpool":
        from runstream._spool.run_spool import RunSpool

        return RunSpool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
