"""Names by which readers may ask for logs: the older layout, which scripts and viewers still look for."""

import re
from collections.abc import Sequence

_DRIVER_LOG = re.compile(r"azureml-logs/70_driver_log(?:_(\d{1,4}))?\.txt")
_MOST_DIGITS = 4


def candidates(path: str) -> Sequence[str]:
    """The paths under which the log may be stored, the likeliest first."""
    match = _DRIVER_LOG.fullmatch(path)
    if match is None:
        return [path]
    if match[1] is None:
        return [path, "user_logs/std_log.txt"]
    digits = range(1, _MOST_DIGITS + 1)
    ranks = dict.fromkeys(f"user_logs/std_log_process_{int(match[1]):0{width}d}.txt" for width in digits)
    return [path, *ranks, *(["user_logs/std_log.txt"] if int(match[1]) == 0 else [])]
