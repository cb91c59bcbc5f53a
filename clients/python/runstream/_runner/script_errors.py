"""What a failed script says about why it failed."""

import re
import signal
from pathlib import Path
from typing import Final, NamedTuple

TAIL_BYTES: Final = 256 * 1024
"""How much of the end of the output is looked at."""
SHOWN_LINES: Final = 20
SHOWN_CHARACTERS: Final = 2_000

_BEGIN: Final = re.compile(r"^(?:  \+ Exception Group )?Traceback \(most recent call last\):$", re.MULTILINE)
_LINK: Final = re.compile(
    r"^(?:The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:)$",
    re.MULTILINE,
)
_EXCEPTION: Final = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?$")


class PythonError(NamedTuple):
    """An exception that ended a Python program."""

    exception_type: str
    """Its class, without the module."""
    text: str
    stack_trace: str


def read_tail(log: Path) -> str:
    """The end of what was printed; nothing where it cannot be read."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read()
    except OSError:
        return ""
    return data.rpartition(b"\0")[2].decode("utf-8", "replace")  # what is stored may have been given back to the disk


def last_lines(tail: str) -> str:
    """The last lines, as many as fit in a message."""
    lines = [line for line in tail.splitlines() if line.strip()][-SHOWN_LINES:]
    return "\n".join(lines)[-SHOWN_CHARACTERS:]


def find_python_error(tail: str) -> PythonError | None:
    """The exception at the end of what a Python program printed, those that led to it included; None: there is none."""
    begins = [match.start() for match in _BEGIN.finditer(tail)]
    if not begins:
        return None
    error = _error_of(tail[begins[-1] :])
    if error is None:
        return None
    begin = _first_of_chain(tail, begins)
    return PythonError(*error[:2], tail[begin : begins[-1]] + error.stack_trace)


def describe_exit(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def _error_of(trace: str) -> PythonError | None:
    """The exception of one traceback: its first line that is not indented, and what belongs to it."""
    lines = trace.splitlines()
    is_group = lines[0].startswith("  +")
    for number, line in enumerate(lines[1:], 1):
        text = line.removeprefix("  | ")
        if text.startswith("  ") or not text:
            continue
        found = _EXCEPTION.match(text)
        if found is None:
            return None
        end = len(lines) if is_group else number + 1
        kept = "\n".join(lines[:end]) + "\n"
        return PythonError(found["type"].rpartition(".")[2], found["text"] or "", kept)
    return None


def _first_of_chain(tail: str, begins: list[int]) -> int:
    """Where the first of the tracebacks begins that led to the last one."""
    first = begins[-1]
    for begin in reversed(begins[:-1]):
        if not _LINK.search(tail, begin, first):
            break
        first = begin
    return first
