"""Which job a runner is for."""

import os
import socket
import uuid
from dataclasses import dataclass
from typing import Final

COMPLETED: Final = 0
FAILED: Final = 10
CANCELED: Final = 11
NOT_OURS: Final = 12
LEFT: Final = 13
"""Exit codes of a runner that did what there was to do; the last one: as far as it could, the rest is left to another.
With any other one it is lost."""


@dataclass(frozen=True)
class JobToRun:
    """What a runner is started for."""

    run: str
    """The resource name of the run."""
    address: str
    """Where the services are."""
    holder: str
    """The name under which the job is claimed, the same for every runner that the guard starts."""
    lease: int = 0
    """The lease of an offer; 0: nobody offered the job."""
    keeps_files: bool = False
    """Whether the working directory stays when the run has ended."""

    @property
    def workspace(self) -> str:
        """The id of the workspace."""
        return self.run.split("/")[1]

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.run.split("/")[3]

    @property
    def parent(self) -> str:
        """The resource name of the workspace."""
        return self.run.partition("/runs/")[0]


def make_holder() -> str:
    """A name that no other runner has."""
    return f"{socket.gethostname()[:200]}/{os.getpid()}/{uuid.uuid4().hex[:12]}"
