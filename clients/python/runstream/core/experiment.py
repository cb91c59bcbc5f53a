"""Experiments."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runstream._channel import loop
from runstream.core._experiment import ExperimentCalls, open_experiment
from runstream.core._forms import BLOCKING
from runstream.core._submission import submit_in
from runstream.core._surface import Blocking

if TYPE_CHECKING:
    from runstream.core.run import Run
    from runstream.core.workspace import Workspace

__all__ = ["Experiment"]


class Experiment(ExperimentCalls["Workspace", "Experiment", "Run"], Blocking):
    """An experiment is a named folder of runs.

        experiment = Experiment(ws, "digits")

    The active experiment of that name is opened, and made if there is none; any number of processes may do so at once.

    Raises:
        UserErrorException: The name is not a letter or digit, then up to 254 letters, digits, `-` and `_`.
    """

    def __init__(
        self,
        workspace: "Workspace",
        name: str,
        _skip_name_validation: bool = False,
        **kwargs: object,
    ) -> None:
        record = loop.run(open_experiment(workspace, name, validate=not _skip_name_validation))
        self._attach(workspace, record)

    def submit(
        self,
        config: Any,
        tags: Mapping[str, object] | None = None,
        *,
        run_id: str | None = None,
        show_output: bool = False,
        _parent_run_id: str | None = None,
    ) -> "Run":
        """Submits a run and returns it at once; what executes it does not depend on this program.

            run = experiment.submit(ScriptRunConfig("src", "train.py", arguments=["--rate", 0.1]))
            run.wait_for_completion(show_output=True)

        The source folder is stored as the snapshot of the run: what is not known already of its files, without those
        that its `.amlignore` lists, or its `.gitignore` where there is none. Its git repository, branch and commit are
        recorded. On the target `local` a runner is started that outlives this program; other targets start one when
        they have room. With `show_output` this returns when the run has ended, and prints what it writes.

        Raises:
            ExperimentExecutionException: There is no such script, or the run cannot be started here.
            SnapshotException: The folder is too large, or has something that cannot be stored. There is no run then.
            UserErrorException: `run_id` is taken or not allowed, or the compute target cannot execute such a run.
            RunEnvironmentException: This process is offline.
            AzureMLException: `config` is nothing that can be submitted.
        """
        run: Run = loop.run(submit_in(self, config, tags, run_id=run_id, parent_id=_parent_run_id))
        if show_output:
            run.wait_for_completion(show_output=True, raise_on_error=False)
        return run


BLOCKING.experiment = Experiment
