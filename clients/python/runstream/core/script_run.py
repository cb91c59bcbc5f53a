"""Runs of submitted scripts."""

from runstream.core._forms import BLOCKING
from runstream.core._submission.methods import SCRIPT_RUN
from runstream.core.run import Run

__all__ = ["ScriptRun"]


class ScriptRun(Run):
    """The run of a script that was submitted. What executes it does not depend on the program that submitted it."""


BLOCKING.run_types[SCRIPT_RUN] = ScriptRun
