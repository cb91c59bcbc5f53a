"""Finds the GPUs of this machine, and has each of them used by one job at a time."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
ORDER: Final = "CUDA_DEVICE_ORDER"
QUERY: Final = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
QUERY_SECONDS: Final = 20.0
NONE: Final = frozenset({"-1", "none", "nodevfiles"})


def find_gpus(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The GPUs that may be used, as `CUDA_VISIBLE_DEVICES` names them: those that it lists, else all there are."""
    if VISIBLE in environ:
        return _listed(environ[VISIBLE])
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)
        return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
    return ()


def gpu_environment(gpus: Iterable[str]) -> dict[str, str]:
    """The variables of a job that has these GPUs for itself; without any it sees none."""
    return {VISIBLE: ",".join(gpus), ORDER: "PCI_BUS_ID"}


def _listed(text: str) -> tuple[str, ...]:
    """What a list of GPUs means to CUDA: whatever is behind a name that is none does not count."""
    found: list[str] = []
    for part in text.split(","):
        name = part.strip()
        if not name or name.lower() in NONE:
            break
        found.append(name)
    return tuple(found)


def free_gpus(gpus: Sequence[str], used: Iterable[str], count: int) -> tuple[str, ...] | None:
    """So many GPUs that nobody uses, in their order; None: there are fewer."""
    taken = set(used)
    free = [gpu for gpu in gpus if gpu not in taken]
    return tuple(free[:count]) if len(free) >= count else None
