"""The words of jobs."""

from dataclasses import dataclass
from enum import Enum

from runstream_server.names import ComputeTargetName


class TargetKind(Enum):
    """What kind a compute target is of."""

    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class ComputeTarget:
    """Where submitted runs execute."""

    name: ComputeTargetName
    kind: TargetKind
