"""Why a job of several nodes failed: for the first failure on any of them, not for what that brought about.

Nodes that follow say what failed on them as a property of the run, with the time. The first node, which reports the
end, compares that with what happened to itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final

from runstream._runner.failures import RUNNER_DIED
from runstream._runner.folder import Ending

SETTLING_SECONDS: Final = 2.0
"""How long after a failure the first node waits for what others have to say."""
SPREAD_SECONDS: Final = 0.002
"""Per node of the job: over how long those that fail together spread what they tell; the first node waits longer."""
MOST_TOLD: Final = 16
"""How many failures are told of an attempt, but for earlier ones."""
MAX_VALUE_CHARACTERS: Final = 10_000
_CUTS: Final = (3_000, 1_000, 300, 100)
"""To how many characters texts are cut, so that they fit together."""
_KEY: Final = re.compile(r"runstream\.failure\.attempt_(?P<attempt>\d+)\.node_(?P<node>\d+)")


def failure_property(ending: Ending, attempt: int, node: int) -> dict[str, str]:
    """A failure on a node, as it is told."""
    return {f"runstream.failure.attempt_{attempt}.node_{node}": _value(ending)}


def failures_of(properties: Mapping[str, str], attempt: int) -> dict[int, Ending]:
    """The failures that were told of an attempt, by node; what cannot be read is left out."""
    found = {}
    for key, value in properties.items():
        match = _KEY.fullmatch(key)
        if match and int(match["attempt"]) == attempt and (ending := _read(value)) is not None:
            found[int(match["node"])] = ending
    return found


def is_worth_telling(ending: Ending, told: Mapping[int, Ending]) -> bool:
    """Whether a failure may be the cause, or not many were told: a thousand nodes may fail for the failure of one."""
    earliest = min(map(_cause_time_ns, told.values()), default=_cause_time_ns(ending))
    return len(told) < MOST_TOLD or _cause_time_ns(ending) < earliest


def first_cause(own: Ending, others: Mapping[int, Ending]) -> Ending:
    """The end of a job, by the first of all failures."""
    if own.status != "FAILED" or own.code == RUNNER_DIED or not others:
        return own
    node, first = min(others.items(), key=lambda other: _cause_time_ns(other[1]))
    if _cause_time_ns(first) >= _cause_time_ns(own):
        return own
    return replace(first, message=f"Node {node}: {first.message}", time_ns=own.time_ns)


def _cause_time_ns(ending: Ending) -> int:
    return ending.cause_time_ns or ending.time_ns


def _value(ending: Ending) -> str:
    for limit in _CUTS:
        cut = replace(ending, message=ending.message[:limit], stack_trace=ending.stack_trace[-limit:])
        text = json.dumps(asdict(cut), ensure_ascii=False)
        if len(text) <= MAX_VALUE_CHARACTERS:
            break
    return text


def _read(value: str) -> Ending | None:
    try:
        return Ending(**json.loads(value))
    except (ValueError, TypeError):
        return None
