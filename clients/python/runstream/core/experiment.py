"""Experiments."""

from typing import TYPE_CHECKING

from runstream._channel import loop
from runstream.core._experiment import ExperimentCalls, open_experiment
from runstream.core._forms import BLOCKING
from runstream.core._surface import Blocking

if TYPE_CHECKING:
    from runstream.core.run import Run  # noqa: F401  (named in the base class)
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


BLOCKING.experiment = Experiment
