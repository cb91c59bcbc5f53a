"""Runs of submitted scripts."""

from runstream.core._forms import BLOCKING
from runstream.core._submission import register_submit_method
from runstream.core._submission.script import SCRIPT_RUN, submit_script
from runstream.core.run import Run
from runstream.core.script_run_config import ScriptRunConfig

__all__ = ["ScriptRun"]


class ScriptRun(Run):
    """The run of a script that was submitted. What executes it does not depend on the program that submitted it."""


BLOCKING.run_types[SCRIPT_RUN] = ScriptRun
register_submit_method(ScriptRunConfig, submit_script)
