"""Executes one process of an MPI job: `rank.py STATUSES LOG... -- COMMAND...`.

It is run as a file of its own, with nothing but the standard library. What the process prints goes to the log file of
its rank; its id and how it ended to `<STATUSES>/<rank>.json`.
"""

import json
import os
import signal
import subprocess
import sys
import time

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")


def main() -> int:
    """Starts the process, waits for it and passes on how it ended."""
    arguments = sys.argv[1:]
    end = arguments.index("--")
    rank = next((int(os.environ[name]) for name in RANKS if os.environ.get(name, "").isdecimal()), 0)
    statuses, logs, command = arguments[0], arguments[1:end], arguments[end + 1 :]
    output = os.open(logs[rank], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: process.send_signal(number))
    _write(f"{statuses}/{rank}.json", {"pid": process.pid, "start": time.time_ns()})
    code = process.wait()
    _write(f"{statuses}/{rank}.json", {"pid": process.pid, "end": time.time_ns(), "code": code})
    return code if code >= 0 else 128 - code


def _write(path: str, status: dict[str, int]) -> None:
    with open(f"{path}.new", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib would double the time to start
        json.dump(status, file)
    os.replace(f"{path}.new", path)  # noqa: PTH105


if __name__ == "__main__":
    sys.exit(main())
