"""Has `mpirun` start the processes of a job."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from runstream._runner.failures import JobFailed

LAUNCHER_LOG: Final = "azureml-logs/70_mpi_log.txt"
LAUNCHERS: Final = ("mpirun", "mpiexec")
VARIABLES: Final = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
"""For Open MPI: containers often have no other user than root, and there may be more processes than cores."""
RANK_PROGRAM: Final = Path(__file__).with_name("rank.py")


def mpi_command(
    command: Sequence[str], logs: Sequence[Path], statuses: Path, variables: Mapping[str, str]
) -> list[str]:
    """A command that starts one process for each log file, which it prints to; how each ended is below `statuses`.

    Raises:
        JobFailed: There is no MPI on this machine.
    """
    found = next((path for name in LAUNCHERS if (path := shutil.which(name, path=variables.get("PATH")))), None)
    if found is None:
        raise JobFailed(
            "EnvironmentError",
            "mpirun is not installed where the run executes. Install an MPI there (Open MPI for example), or use "
            "another kind of distribution.",
        )
    rank = [sys.executable, "-I", "-S", str(RANK_PROGRAM), str(statuses), *map(str, logs), "--"]
    return [found, "-n", str(len(logs)), *rank, *command]
