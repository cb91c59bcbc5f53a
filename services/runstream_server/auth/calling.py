"""Who calls, for whoever has to answer differently."""

from contextvars import ContextVar

from runstream_server.auth.model import ANYBODY, Caller

_caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)


def caller() -> Caller:
    """Who made the call that is being answered."""
    return _caller.get()


def set_caller(calling: Caller) -> None:
    """Notes who made a call; each call has a context of its own."""
    _caller.set(calling)
