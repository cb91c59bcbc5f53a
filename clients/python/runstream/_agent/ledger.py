"""What an agent has started, on disk: a later agent of the same name goes on with it."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from runstream._agent.processes import ProcessId
from runstream._channel.address import state_folder
from runstream._spool.lock import is_live, lock_file_of_dead, sign

LOCK_NAME: Final = "agent.lock"
LEDGER_NAME: Final = "runners.json"


@dataclass(frozen=True)
class Held:
    """A job whose runner this agent has started."""

    run: str
    """The resource name."""

    lease: int
    """That of the offer."""

    gpus: tuple[str, ...] = ()
    process: ProcessId | None = None
    """The runner; None: it is about to be started, and nobody knows whether it was."""


class AgentRuns(Exception):
    """Another agent of the same name runs on this machine."""


def agent_folder(address: str, name: str) -> Path:
    """Where the agent of this resource name, and of the services at `address`, keeps its ledger."""
    return state_folder() / "agents" / hashlib.sha256(f"{address}\n{name}".encode()).hexdigest()[:32]


def agent_pid(folder: Path) -> int | None:
    """The process id of the agent that has a folder; None: nobody has it."""
    lock = folder / LOCK_NAME
    try:
        return int(lock.read_text()) if is_live(lock) else None
    except (OSError, ValueError):
        return None


class Ledger:
    """The jobs that the agent of a folder holds. It belongs to one process at a time, by a lock."""

    def __init__(self, folder: Path) -> None:
        """Locks the folder, which is made if need be.

        Raises:
            AgentRuns: Another process has it.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = lock_file_of_dead(folder / LOCK_NAME)
        if lock is None:
            raise AgentRuns
        sign(lock)
        self._lock = lock
        self._path = folder / LEDGER_NAME

    def read(self) -> list[Held]:
        """What was held when it was last written; nothing where there is no ledger, or one that cannot be read."""
        try:
            return [_held(each) for each in json.loads(self._path.read_text("utf-8"))]
        except (OSError, ValueError, TypeError, LookupError):
            return []

    def write(self, held: list[Held]) -> None:
        """Writes what is held: all of it or, when this process is killed meanwhile, what was written before."""
        partial = self._path.with_suffix(".new")
        partial.write_text(json.dumps([asdict(each) for each in held]), "utf-8")
        partial.replace(self._path)

    def close(self) -> None:
        """Leaves the folder to others."""
        os.close(self._lock)


def _held(document: dict[str, Any]) -> Held:
    process = document["process"]
    return Held(
        str(document["run"]),
        int(document["lease"]),
        tuple(map(str, document["gpus"])),
        ProcessId(int(process[0]), str(process[1])) if process else None,
    )
