"""The ids of submitted runs."""

import secrets
import time
from typing import Final

MAX_ID: Final = 256


def new_run_id(experiment: str) -> str:
    """An id as those of SDK v1: `<experiment>_<unix seconds>_<8 hex digits>`; a very long name is cut to fit."""
    rest = f"_{int(time.time())}_{secrets.token_hex(4)}"
    return experiment[: MAX_ID - len(rest)] + rest
