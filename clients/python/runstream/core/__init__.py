"""The SDK: workspaces, experiments and runs.

    from runstream.core import Experiment, Workspace

    experiment = Experiment(Workspace.get(), "digits")
    with experiment.start_logging() as run:
        run.log("loss", 0.31)

Names, parameters and behaviour are those of the Azure ML SDK v1: a script written for `azureml.core` works after
changing that to `runstream.core`. Methods return when they are done; `runstream.aio` has the same for asynchronous
programs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runstream.core._log_handler import RunLogHandler
from runstream.core.experiment import Experiment
from runstream.core.run import Run, get_run
from runstream.core.script_run import ScriptRun
from runstream.core.workspace import Workspace

if TYPE_CHECKING:
    from runstream.core.compute_target import ComputeTarget
    from runstream.core.environment import Environment
    from runstream.core.runconfig import RunConfiguration
    from runstream.core.script_run_config import ScriptRunConfig

__all__ = [
    "VERSION",
    "ComputeTarget",
    "Environment",
    "Experiment",
    "Run",
    "RunConfiguration",
    "RunLogHandler",
    "ScriptRun",
    "ScriptRunConfig",
    "Workspace",
    "get_run",
]

VERSION = "0.1.0"

_OF_SUBMITTING = {
    "ComputeTarget": "runstream.core.compute_target",
    "Environment": "runstream.core.environment",
    "RunConfiguration": "runstream.core.runconfig",
    "ScriptRunConfig": "runstream.core.script_run_config",
}
"""What only programs use that submit runs: a script that logs does not wait for its import."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Imports what is used for the first time."""
        if name not in _OF_SUBMITTING:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_OF_SUBMITTING[name]), name)
