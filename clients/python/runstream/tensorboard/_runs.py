"""The runs that somebody gives."""

from collections.abc import Iterable
from typing import Any

from runstream._channel.address import OFFLINE
from runstream.core._run import RunCalls
from runstream.exceptions import UserErrorException


def checked_runs(given: Any) -> list[Any]:
    """A run, or several, each once.

    Raises:
        UserErrorException: Something else is given, or a run that the services do not know.
    """
    runs = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else [given]
    for run in runs:
        if not isinstance(run, RunCalls):
            raise UserErrorException(f"A run, or a list of runs, is needed; got {type(run).__name__}.")
        if run._workspace._address == OFFLINE:
            raise UserErrorException(f"Run {run.id} is recorded offline; `runstream sync` it first.")
    return list({run._record.name: run for run in runs}.values())
