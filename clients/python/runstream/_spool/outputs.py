"""Where what a process prints or has logged as text lies until it is stored, and what its log files are called.

    <root>/<group>/<first>.output/<name>        is the log file `user_logs/<name>` of the run

`first` is the first spool of the process that has the uplink follow it. A file is removed when all of it is stored and
nobody has it locked any more: it is locked exclusively while another process may still write to it, shared while this
one may.
"""

import os
from collections.abc import Mapping
from typing import Final

OUTPUT_SUFFIX: Final = ".output"
LOGS_PREFIX: Final = "user_logs"
PROCESS_MARK: Final = "_process_"

RANKS: Final = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
"""Variables that number the processes of a job, and count them."""


def process_number(environment: Mapping[str, str] = os.environ) -> tuple[int | None, int]:
    """The number of this process among those of its job, and how many they are; None and 1 where it is the only one."""
    for rank, size in RANKS:
        number, count = environment.get(rank, ""), environment.get(size, "")
        if number.isdecimal():
            most = max(int(count) if count.isdecimal() else 1, int(number) + 1)
            return (int(number) if most > 1 else None), most
    return None, 1


def numbered(name: str, number: int | None) -> str:
    """The name of the log file of one of several processes: `std_log_process_01.txt` for `std_log.txt`."""
    stem, dot, ending = name.rpartition(".")
    return name if number is None else f"{stem}{PROCESS_MARK}{number:02}{dot}{ending}"


def next_numbered(name: str) -> str:
    """The name for the next process: `std_log_process_01.txt` after `std_log.txt`."""
    stem, dot, ending = name.rpartition(".")
    stem, _, number = stem.rpartition(PROCESS_MARK) if PROCESS_MARK in stem else (stem, "", "0")
    return numbered(f"{stem}{dot}{ending}", int(number) + 1)
