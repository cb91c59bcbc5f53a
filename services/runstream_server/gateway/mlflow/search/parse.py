"""From the text of a filter to its clauses."""

import re
from collections.abc import Sequence

from runstream_server.gateway.mlflow.errors import MlflowError, wrong
from runstream_server.gateway.mlflow.search.clauses import Clause
from runstream_server.gateway.mlflow.search.scanner import Scanner, Unreadable
from runstream_server.gateway.mlflow.search.schema import Field, Scalar, Schema

MAX_FILTER = 65_536
MAX_CLAUSES = 100
MAX_PATTERN = 1_000
_SHOWN = 200
_LONGEST_WHOLE = 30

_COMPARATOR = re.compile(r"[<>!]=|[=<>]|(?:I?LIKE|(?:NOT\s+)?IN|IS\s+(?:NOT\s+)?NULL)\b", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d++\.?+\d*+|\.\d++)(?:e[+-]?\d++)?+(?![\w.])", re.IGNORECASE | re.ASCII)
_QUOTED = r"""(?:'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*")"""
_TEXT = re.compile(_QUOTED)
_LIST = re.compile(rf"\(\s*+{_QUOTED}(?:\s*+,\s*+{_QUOTED})*\s*+,?+\s*+\)")
_AND = re.compile(r"AND\b", re.IGNORECASE)
_CLAUSE = re.compile(rf"(?:{_QUOTED}|`[^`]*`|(?!\bAND\b).)+", re.IGNORECASE | re.DOTALL)


def parse_filter(text: str, schema: Schema) -> Sequence[Clause]:
    """Takes a filter apart; no clauses when it is empty.

    Raises:
        MlflowError: It breaks the grammar, or compares what cannot be compared so; repeats the clause.
    """
    if len(text) > MAX_FILTER:
        raise wrong(f"Invalid filter string: expected up to {MAX_FILTER} characters, got {len(text)}")
    scanner, start = Scanner(text), 0
    clauses: list[Clause] = []
    try:
        while not scanner.is_at_end:
            start = scanner.position
            clauses.append(_clause(scanner, schema))
            _check_patterns(clauses)
            _go_on(scanner, len(clauses))
    except Unreadable as error:
        raise _invalid(text[start:], str(error)) from None
    return clauses


def _invalid(rest: str, problem: str) -> MlflowError:
    match = _CLAUSE.match(rest)
    clause = (match[0] if match else rest).strip()
    shown = clause if len(clause) <= _SHOWN else f"{clause[:_SHOWN]}..."
    return wrong(f"Invalid clause(s) in filter string: '{shown}': {problem}")


def _go_on(scanner: Scanner, count: int) -> None:
    if scanner.is_at_end:
        return
    if not scanner.take(_AND):
        raise Unreadable("expected AND or the end after the value; there are no OR and no parentheses")
    if scanner.is_at_end:
        raise Unreadable("expected another clause after AND")
    if count == MAX_CLAUSES:
        raise Unreadable(f"expected up to {MAX_CLAUSES} clauses")


def _check_patterns(clauses: Sequence[Clause]) -> None:
    """To look for a pattern in a text takes as long as it has characters, for each of the text."""
    if sum(len(str(each.value)) for each in clauses if each.comparator.endswith("LIKE")) > MAX_PATTERN:
        raise Unreadable(f"expected patterns of up to {MAX_PATTERN} characters together")


def _clause(scanner: Scanner, schema: Schema) -> Clause:
    entity, key, field = scanner.take_key(schema)
    match = scanner.take(_COMPARATOR)
    comparator = " ".join(match[0].upper().split()) if match else ""
    if comparator not in field.comparators:
        raise Unreadable(f"{entity}.{key[:_SHOWN]} takes {', '.join(sorted(field.comparators)) or 'no comparison'}")
    return Clause(entity, key, comparator, _value(scanner, comparator, field))


def _value(scanner: Scanner, comparator: str, field: Field) -> Scalar | tuple[str, ...] | None:
    if comparator.startswith("IS"):
        return None
    if comparator.endswith("IN"):
        return _list(scanner)
    if field.is_number:
        return _number(scanner)
    return _text(scanner)


def _number(scanner: Scanner) -> int | float:
    match = scanner.take(_NUMBER)
    if match is None:
        raise Unreadable("expected a number")
    is_whole = match[0].lstrip("+-").isdigit() and len(match[0]) <= _LONGEST_WHOLE
    return int(match[0]) if is_whole else float(match[0])


def _text(scanner: Scanner) -> str:
    match = scanner.take(_TEXT)
    if match is None:
        raise Unreadable("expected a text in quotes")
    return _unquoted(match[0])


def _list(scanner: Scanner) -> tuple[str, ...]:
    match = scanner.take(_LIST)
    if match is None:
        raise Unreadable("expected texts in parentheses, in quotes and with commas between them")
    return tuple(map(_unquoted, _TEXT.findall(match[0])))


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)
