"""What a job shows to the services: its run token, in a file that its processes follow."""

import logging
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runstream._channel.private import write_private
from runstream._channel.tokens import (
    NO_TOKEN,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    TOKEN_VARIABLES,
    Alternatives,
    Token,
    find_token,
    read_token_file,
)
from runstream._spool.tokens import keep_token

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from runstream.api.jobs.v1.job_pb2 import RunToken

FOLDER: Final = "access"
NO_TOKEN_NEEDED: Final = "none-needed"  # noqa: S105
"""The value of `AZUREML_RUN_TOKEN` where there is no token: programs written for SDK v1 want one that is not empty."""
NEVER: Final = "253402300799"
"""The value of `AZUREML_RUN_TOKEN_EXPIRY` then, in seconds since the Unix epoch: the last one of the year 9999."""
OF_RUN: Final = "the run token"
LEAST_SECONDS: Final = 0.5
OTHER_CLOCK_SECONDS: Final = 60.0

_logger = logging.getLogger(__name__)


class Access:
    """The run token of a job, and until there is one the token of whoever started the runner.

    The environment of this process says so too as soon as there is one: what the runner logs, and the uplink that it
    starts, go with the run token.
    """

    def __init__(self, folder: Path, address: str, surroundings: Mapping[str, str]) -> None:
        """`folder` is that of the job, `surroundings` the environment that the runner was started with."""
        self.file = token_file(folder)
        self.expire_time: Timestamp | None = None
        """When the newest one expires; None: there is none."""
        given = {name: surroundings[name] for name in TOKEN_VARIABLES if surroundings.get(name)}
        self.credential = Alternatives(self._own, lambda: find_token(address, given))
        if self._own().secret:
            self._tell()

    @property
    def renewal_seconds(self) -> float:
        """After how many seconds a newer one is due: half of what is left of its life; without an end if there is none.

        A clock that is days ahead says that it is over: then it is asked for once a minute.
        """
        if self.expire_time is None:
            return math.inf
        left = self.expire_time.ToNanoseconds() / 1e9 - time.time()
        return max(left / 2, LEAST_SECONDS) if left > 0 else OTHER_CLOCK_SECONDS

    def take(self, token: "RunToken") -> None:
        """Shows a run token from now on, to the processes of the job as well."""
        if not token.secret:
            return
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.file, token.secret)
        except OSError as error:  # the former one counts for as long again
            _logger.warning("the run token cannot be written: %s", error)
            return
        self.expire_time = token.expire_time
        self._tell()

    def variables(self) -> dict[str, str]:
        """What the processes of the job are told."""
        secret = self._own().secret
        if not secret:
            return {"AZUREML_RUN_TOKEN": NO_TOKEN_NEEDED, "AZUREML_RUN_TOKEN_EXPIRY": NEVER}
        expiry = {"AZUREML_RUN_TOKEN_EXPIRY": str(self.expire_time.seconds)} if self.expire_time else {}
        return {
            TOKEN_FILE_VARIABLE: str(self.file),
            TOKEN_VARIABLE: secret,
            "AZUREML_RUN_TOKEN": secret,
            **expiry,
        }

    def _own(self) -> Token:
        secret = read_token_file(self.file)
        return Token(secret, OF_RUN) if secret else NO_TOKEN

    def _tell(self) -> None:
        os.environ[TOKEN_FILE_VARIABLE] = str(self.file)
        os.environ.pop(TOKEN_VARIABLE, None)


def token_file(folder: Path) -> Path:
    """Where the token of the job with this folder is, in a folder of its own: containers see that one only."""
    return folder / FOLDER / "token"


def remove_token(folder: Path, address: str, run: str) -> None:
    """Removes the token of a job. What is still to be carried up for it goes on with a copy until that expires."""
    keep_token(address, run, token_file(folder))
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
