"""The public classes of each form, so that shared code makes objects of the form it is used in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from runstream.core._surface import Awaiting, Blocking

if TYPE_CHECKING:
    from runstream.core._experiment import ExperimentCalls
    from runstream.core._run import RunCalls
    from runstream.core._workspace import WorkspaceCalls

W = TypeVar("W", bound="WorkspaceCalls[Any, Any, Any]")
E = TypeVar("E", bound="ExperimentCalls[Any, Any, Any]")
R = TypeVar("R", bound="RunCalls[Any, Any, Any]")


@dataclass
class Form:
    """The classes of one form. Each is set by the module that defines it."""

    workspace: Any = None
    experiment: Any = None
    run: Any = None
    submitted_run: Any = None
    offline_run: Any = None
    compute_target: Any = None
    compute_types: dict[int, Any] = field(default_factory=dict)
    """By kind of compute target, the class that stands for it."""

    run_types: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """By type of run, the class that stands for it, or a function that makes the object."""


BLOCKING, AWAITING = Form(), Form()


def form_of(cls: type[Any]) -> Form:
    """The form that `cls` belongs to."""
    assert issubclass(cls, (Blocking, Awaiting))
    return AWAITING if issubclass(cls, Awaiting) else BLOCKING
