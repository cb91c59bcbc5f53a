"""Starts a runner that depends on nobody: not on the process that starts it, nor on its terminal."""

import atexit
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from runstream._channel.interpreter import package_environment
from runstream._channel.tokens import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, TOKEN_VARIABLES, read_token_file

MODULE: Final = "runstream._runner"
LOGS: Final = "runners"
KEPT_SECONDS: Final = 7 * 24 * 3600
"""How long what runners say is kept."""
_OF_ANOTHER_RUN: Final = re.compile(
    r"RUNSTREAM_(RUN_ID|WORKSPACE|EXPERIMENT|ADDRESS)|AZUREML_(RUN_|ARM_|OUTPUT_|SERVICE_|EXPERIMENT_ID|WORKSPACE_ID).*"
    r"|MLFLOW_RUN_ID|AZ_BATCH_.*|OMPI_.*|PMIX?_.*|TF_CONFIG|MASTER_(ADDR|PORT)"
    r"|(LOCAL_|NODE_|GROUP_)?RANK|(LOCAL_)?WORLD_SIZE"
)
"""Variables that say which run, or which process of one, the submitting process is."""
_IN_JOBS: Final = re.compile(r"RUNSTREAM_GATEWAY_URL|MLFLOW_(TRACKING_.*|EXPERIMENT_(ID|NAME))")
"""What else jobs are told that is about them only."""

_started: list["subprocess.Popen[bytes]"] = []


def start_runner(
    run: str, address: str, *, lease: int = 0, variables: Mapping[str, str] | None = None, token: str | None = None
) -> int:
    """Starts the runner of a run, by its resource name, and returns the id of its process at once.

    Its processes see the environment of this one, with `variables`, and no token of this one: with it, or with `token`
    where that is not None, the runner only claims the job. What the runner itself has to say goes to a file in the
    folder `runners` of the user's state, which is removed after a week.

    Raises:
        OSError: It cannot be started.
    """
    _reap()
    command = [sys.executable, "-P", "-m", MODULE, "--run", run, "--address", address, "--lease", str(lease)]
    with log_file(run.rpartition("/")[2]).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**runner_environment(package_environment(), token), **(variables or {})},
            start_new_session=True,
        )
    return leave_to_itself(process)


def leave_to_itself(process: "subprocess.Popen[bytes]") -> int:
    """Takes a process that is not waited for, and that outlives this one; its id."""
    _started.append(process)
    return process.pid


def log_file(run_id: str) -> Path:
    """Where the runner of a run writes what it has to say. Files that are too old are removed on the way.

    Raises:
        OSError: There cannot be such a file.
    """
    from runstream._spool.places import spool_root

    folder, now = spool_root().parent / LOGS, time.time()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.glob("*.log"):
        with suppress(FileNotFoundError):
            if now - old.stat().st_mtime > KEPT_SECONDS:
                old.unlink()
    return folder / f"{re.sub(r'[^A-Za-z0-9_.=-]', '_', run_id)[:200]}.log"


def runner_environment(known: Mapping[str, str], token: str | None = None) -> dict[str, str]:
    """What a runner gets of the variables of the process that starts it; of its tokens none where there is another.

    A file with a token may be gone before the runner reads it, as that of a job which submits another one and ends.
    """
    told = [_OF_ANOTHER_RUN, _IN_JOBS] if known.get("RUNSTREAM_RUN_ID") else [_OF_ANOTHER_RUN]
    passed_on = {name: value for name, value in known.items() if not any(each.fullmatch(name) for each in told)}
    if token is None:
        secret = read_token_file(Path(file)) if (file := known.get(TOKEN_FILE_VARIABLE)) else ""
        return {**passed_on, TOKEN_VARIABLE: secret} if secret else passed_on
    without = {name: value for name, value in passed_on.items() if name not in TOKEN_VARIABLES}
    return {**without, TOKEN_VARIABLE: token} if token else without


def _reap() -> None:
    """Forgets runners that have ended."""
    _started[:] = [process for process in _started if process.poll() is None]


def _disown() -> None:
    """Leaves runners to themselves."""
    for process in _started:
        process.returncode = 0
    _started.clear()


atexit.register(_disown)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)
