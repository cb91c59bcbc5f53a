"""The SDK: workspaces, experiments and runs.

    from runstream.core import Experiment, Workspace

    experiment = Experiment(Workspace.get(), "digits")
    with experiment.start_logging() as run:
        run.log("loss", 0.31)

Names, parameters and behaviour are those of the Azure ML SDK v1: a script written for `azureml.core` works after
changing that to `runstream.core`. Methods return when they are done; `runstream.aio` has the same for asynchronous
programs.
"""

from runstream.core._log_handler import RunLogHandler
from runstream.core.compute_target import ComputeTarget
from runstream.core.environment import Environment
from runstream.core.experiment import Experiment
from runstream.core.run import Run, get_run
from runstream.core.runconfig import RunConfiguration
from runstream.core.script_run import ScriptRun
from runstream.core.script_run_config import ScriptRunConfig
from runstream.core.workspace import Workspace

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
