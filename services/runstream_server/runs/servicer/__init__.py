"""`RunHistoryService` on the wire: decode, delegate, encode."""

from runstream_server.runs.servicer.experiments import ExperimentMethods
from runstream_server.runs.servicer.runs import RunMethods
from runstream_server.runs.servicer.tokens import TokenMethods
from runstream_server.runs.servicer.watching import WatchMethods
from runstream_server.runs.servicer.workspaces import WorkspaceMethods


class RunHistoryServicer(WorkspaceMethods, ExperimentMethods, RunMethods, WatchMethods, TokenMethods):
    """`RunHistoryService` on the wire."""
