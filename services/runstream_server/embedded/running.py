"""Finds the servers of a `runstream up` that runs on this machine, for commands about its data."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runstream_server.embedded.s3 import read_keys
from runstream_server.embedded.state import read_state, state_folder
from runstream_server.errors import ConfigurationError

POSTGRES = "RUNSTREAM_POSTGRES_DSN"
S3 = "RUNSTREAM_S3_ENDPOINT"


def with_servers(data: Path | None, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Variables as in `environment`, and with what leads to the servers of a `runstream up`.

    It is the one on the folder `data`. Without it, where no variable names a database or an object store, it is the one
    on the folder of `RUNSTREAM_DATA`, else the one that clients of this user find, if there is one. Servers that were
    given to it are not known here: `environment` has to name them.

    Raises:
        ConfigurationError: None runs on the folder that was named.
    """
    folder = data or _folder(environment)
    if folder is None:
        return environment
    state = read_state(folder / "up.json")
    if not _lives(state.get("pid")):
        raise ConfigurationError("--data", f"no `runstream up` runs on {folder}; start it, or name another folder")
    return {**environment, **_variables(folder, state)}


def _folder(environment: Mapping[str, str]) -> Path | None:
    if environment.get(POSTGRES) or environment.get(S3):
        return None
    chosen = environment.get("RUNSTREAM_DATA")
    state = {"data": chosen} if chosen else read_state(state_folder(environment) / "up.json")
    return Path(state["data"]).absolute() if state.get("data") else None


def _variables(folder: Path, state: Mapping[str, object]) -> dict[str, str]:
    variables = {name: str(state[key]) for name, key in ((POSTGRES, "postgres"), (S3, "s3")) if state.get(key)}
    if state.get("s3"):
        keys = read_keys(folder / "s3")
        variables["RUNSTREAM_S3_PUBLIC_ENDPOINT"] = str(state["s3"])
        variables["RUNSTREAM_S3_ACCESS_KEY"], variables["RUNSTREAM_S3_SECRET_KEY"] = keys
        variables["RUNSTREAM_S3_BUCKET"] = str(state["bucket"])
    return variables


def _lives(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
