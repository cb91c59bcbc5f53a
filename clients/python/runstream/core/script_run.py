"""Runs of submitted scripts."""

from runstream.core._forms import BLOCKING
from runstream.core.run import Run

__all__ = ["ScriptRun"]

SCRIPT_RUN = "azureml.scriptrun"


class ScriptRun(Run):
    """The run of a script that was submitted."""


BLOCKING.run_types[SCRIPT_RUN] = ScriptRun
