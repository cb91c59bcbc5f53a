"""The bounds of append streams."""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class AppendLimits:
    """How much the append streams of one service hold in the memory of a process, and how they commit."""

    max_batch_bytes: int = _MIB
    """How large one message may be."""

    max_in_flight_bytes: int = 16 * _MIB
    """How much of one stream may be read and not yet acknowledged, as it was sent or as it became, whichever is more;
    the stream is not read on meanwhile."""

    budget_bytes: int = 64 * _MIB
    """How much memory may be taken by what was read from all streams together and is not yet committed. Each stream may
    exceed it by one message."""

    max_group_bytes: int = 4 * _MIB
    """How much one transaction stores, ready to be stored, unless a single batch is larger."""

    max_group_appends: int = 2_000
    """How many batches one transaction stores."""

    pace_seconds: float = 0.004
    """The least time between the beginnings of two commits, so that what comes meanwhile shares one."""

    give_up_seconds: float = 20.0
    """How long a commit is repeated while the database does not answer; then its streams end as unavailable."""
