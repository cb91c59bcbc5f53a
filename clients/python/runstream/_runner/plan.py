"""Which processes a job has."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PlannedProcess:
    """A process to be started."""

    name: str
    """For people: `process 0`."""
    log: str
    """The name of its log file below `user_logs/`."""
    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those that only this process has."""
