"""Clauses of a filter, and whether they hold."""

import asyncio
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol, TypeVar

from runstream_server.gateway.mlflow.search.schema import Scalar

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


_TURN_SECONDS = 0.02


class Subject(Protocol):
    """Something that is searched for."""

    def values(self, entity: str, key: str) -> Sequence[Scalar]:
        """What it has under a key: nothing, one value, or several where a clause holds if it does for any of them."""
        ...


_Subject = TypeVar("_Subject", bound=Subject)


@dataclass(frozen=True)
class Clause:
    """A comparison: `metrics.loss < 0.5`."""

    entity: str
    key: str
    """Both by their names, whatever alias the filter had."""

    comparator: str
    """In capitals, with one space within."""

    value: Scalar | tuple[str, ...] | None
    """What is compared with: several texts for `IN` and `NOT IN`, None for `IS NULL` and `IS NOT NULL`."""

    holds_for: Callable[[Any], bool] = field(init=False, compare=False, repr=False)
    """Whether it holds for a value that is there."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds_for", _test(self.comparator, self.value))

    def admits(self, subject: Subject) -> bool:
        """Whether it holds. Nothing but `IS NULL` does for what is absent, not even `!=`."""
        found = subject.values(self.entity, self.key)
        return not found if self.comparator == "IS NULL" else any(map(self.holds_for, found))


def admits(clauses: Iterable[Clause], subject: Subject) -> bool:
    """Whether all clauses hold."""
    return all(clause.admits(subject) for clause in clauses)


async def admitted(clauses: Sequence[Clause], subjects: Iterable[_Subject]) -> list[_Subject]:
    """Those that all clauses hold for. Where that takes its time, others have their turns in between."""
    found, since = [], perf_counter()
    for each in subjects:
        if admits(clauses, each):
            found.append(each)
        if perf_counter() - since > _TURN_SECONDS:
            await asyncio.sleep(0)
            since = perf_counter()
    return found


def _test(comparator: str, value: Any) -> Callable[[Any], bool]:
    match comparator:
        case "IN":
            return frozenset(value).__contains__
        case "NOT IN":
            excluded = frozenset(value)
            return lambda found: found not in excluded
        case "LIKE" | "ILIKE":
            pattern = _like(value, re.IGNORECASE if comparator == "ILIKE" else re.NOFLAG)
            return lambda found: pattern.fullmatch(found) is not None
        case "IS NULL" | "IS NOT NULL":
            return lambda found: comparator == "IS NOT NULL"
    compared = _COMPARED[comparator]
    return lambda found: compared(found, value)


def _like(text: str, flags: re.RegexFlag) -> re.Pattern[str]:
    """What a LIKE pattern matches. Each piece is taken where it comes first, so the time is bounded by the lengths."""
    first, *others = ["".join("." if each == "_" else re.escape(each) for each in part) for part in text.split("%")]
    if not others:
        return re.compile(first, flags | re.DOTALL)
    between = "".join(f"(?>.*?{piece})" for piece in others[:-1] if piece)
    return re.compile(f"{first}{between}.*{others[-1]}", flags | re.DOTALL)
