"""Which function submits which kind of configuration."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from runstream._channel.address import MODE_VARIABLE, OFFLINE
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream.exceptions import AzureMLException, RunEnvironmentException

if TYPE_CHECKING:
    from runstream._transfer.progress import Meter
    from runstream.core._workspace import WorkspaceCalls

C = TypeVar("C")

SCRIPT_RUN: Final = "azureml.scriptrun"
"""The type of the runs of submitted scripts."""
OWN_METHODS: Final = ("runstream.core._submission.script",)
"""Modules that register methods; imported when something is submitted, so that who only logs does not wait for them."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a run is submitted as."""

    workspace: "WorkspaceCalls[Any, Any, Any]"
    experiment: str
    """The resource name; empty: that of the parent."""

    experiment_name: str
    tags: Sequence[Tag] = ()
    run_id: str | None = None
    """Default: made of the experiment's name, the time and chance."""

    request_id: str = ""
    """A UUID that makes this submission once, however often it is tried. Default: made by chance."""

    parent: str = ""
    """The resource name; empty: a top-level run."""

    meter: "Meter | None" = None
    """Told how much of the snapshot is sent."""


SubmitMethod = Callable[[C, Submission], Awaitable[run_pb2.Run]]

_methods: dict[type[Any], SubmitMethod[Any]] = {}


def register_submit_method(kind: type[C], method: SubmitMethod[C]) -> None:
    """Says how configurations of a class, and of its subclasses, are submitted."""
    _methods[kind] = method


async def submit(config: object, submission: Submission) -> run_pb2.Run:
    """Submits a run, as the class of its configuration says; the record of the run.

    Raises:
        AzureMLException: Nothing submits such a configuration.
        RunEnvironmentException: This process is offline.
    """
    for module in OWN_METHODS:
        import_module(module)
    method = next((_methods[kind] for kind in type(config).__mro__ if kind in _methods), None)
    if method is None:
        known = ", ".join(sorted(kind.__name__ for kind in _methods))
        raise AzureMLException(f"No submit method is registered for {type(config).__name__}; there are for {known}.")
    if submission.workspace._address == OFFLINE:
        raise RunEnvironmentException(
            f"A run cannot be submitted offline: it is the services that have it executed. Unset {MODE_VARIABLE}, or "
            "record this process by experiment.start_logging()."
        )
    return await method(config, submission)
