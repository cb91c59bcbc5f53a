"""What the other services ask of the run history, through its stub: in one process or across the network."""

from runstream_server.not_found import RunNotFound, WorkspaceNotFound
from runstream_server.runhistory.client import RunFacts, RunHistory
from runstream_server.runhistory.managed import Failure, ManagedRun, ManagedRuns, StatusEntry, StatusRefused
from runstream_server.runhistory.summaries import MetricSummary
from runstream_server.runhistory.watch import RunWatch, run_watch

__all__ = [
    "Failure",
    "ManagedRun",
    "ManagedRuns",
    "MetricSummary",
    "RunFacts",
    "RunHistory",
    "RunNotFound",
    "RunWatch",
    "StatusEntry",
    "StatusRefused",
    "WorkspaceNotFound",
    "run_watch",
]
