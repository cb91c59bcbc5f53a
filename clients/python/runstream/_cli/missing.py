"""Says what a run has where it does not have what was asked for."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from runstream.exceptions import ServiceException

_TOLD_NAMES = 20


@contextmanager
def names_told(reason: str, wanted: str, kind: str, names: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Replaces the error that has a reason by one that tells what there is.

    `wanted` says what is missing, as in "Run a has no file b"; `kind` is "logs" or "files", and `runstream log ls` or
    `runstream artifact ls` lists them all.
    """
    try:
        yield
    except ServiceException as error:
        if error.reason != reason:
            raise
        told = f"{wanted}. {what_there_is(kind, names())}."
        raise ServiceException(told, error, status_code=404, reason=reason) from error


def what_there_is(kind: str, names: Iterable[str]) -> str:
    """Names some of what a run has, and the command that lists all."""
    some = list(islice(names, _TOLD_NAMES + 1))
    if not some:
        return f"It has no {kind}"
    command = "log" if kind == "logs" else "artifact"
    more = f" and more; see `runstream {command} ls`" if len(some) > _TOLD_NAMES else ""
    return f"It has {', '.join(some[:_TOLD_NAMES])}{more}"
