"""What the run history can be asked so that it returns fewer runs than all.

Each condition admits all runs that its clause admits, perhaps more: the clause decides in the end.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.experiments.known import quoted
from runstream_server.gateway.mlflow.runs.documents import NOTE_TAG, PARAM, PARENT_TAG, RUN_NAME_TAG, status_of
from runstream_server.gateway.mlflow.search import Clause

MAX_FILTER = 8_192

_NOTHING = "NOT run_id:*"
_RUN_ID = re.compile(r"[\w.:+@=\-]{1,256}")
_END_OF_TIMES = 253_402_300_799_000
_STATUSES = [each for each in run_pb2.RunStatus.values() if each != run_pb2.RUN_STATUS_UNSPECIFIED]


def joined(required: Iterable[str], helpful: Iterable[str]) -> str:
    """A filter of conditions: all that are required, and of the others as many as there is room for."""
    text = " AND ".join(required)
    for condition in helpful:
        longer = f"{text} AND {condition}" if text else condition
        text = longer if len(longer) <= MAX_FILTER else text
    return text


def conditions(clauses: Iterable[Clause]) -> Iterator[str]:
    """The conditions of those clauses that have one."""
    for clause in clauses:
        make = _OF_ENTITY.get(clause.entity)
        condition = make(clause) if make else None
        if condition:
            yield condition


def one_of(field: str, values: Collection[str]) -> str:
    """A condition that a field is one of some texts, in quotes where they need them."""
    return f"({' OR '.join(f'{field} = {value}' for value in values)})" if values else _NOTHING


def since(field: str, milliseconds: int) -> str | None:
    """A condition that a time is not before another one; None for times that the run history does not know."""
    return _compared(field, ">=", milliseconds)


def before(field: str, milliseconds: int) -> str | None:
    """A condition that a time is before another one; None for times that the run history does not know."""
    return _compared(field, "<", milliseconds)


def _compared(field: str, operator: str, milliseconds: int) -> str | None:
    if not 0 <= milliseconds < _END_OF_TIMES:
        return None
    time = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    return f'{field} {operator} "{time.isoformat(timespec="milliseconds")}"'


def _of_attribute(clause: Clause) -> str | None:
    match clause.key, clause.comparator, clause.value:
        case "status", _, _:
            return one_of("status", [_word(each) for each in _STATUSES if _is_admitted(clause, each)])
        case "run_id", "=", str(value):
            return _of_run_ids([value])
        case "run_id", "IN", tuple(values):
            return _of_run_ids(values)
        case "run_name", "=", str(value):
            return f"display_name = {quoted(value)}"
        case "start_time", comparator, int(value):
            started, made = _of_time("start_time", comparator, value), _of_time("create_time", comparator, value)
            return f"(({started}) OR (NOT start_time:* AND {made}))" if started and made else None
        case "end_time", comparator, int(value):
            return _of_time("end_time", comparator, value)
    return None


def _is_admitted(clause: Clause, status: "run_pb2.RunStatus.ValueType") -> bool:
    return clause.holds_for(status_of(run_pb2.Run(status=status)))


def _word(status: "run_pb2.RunStatus.ValueType") -> str:
    """How filters call a status: `CancelRequested`."""
    name = run_pb2.RunStatus.Name(status).removeprefix("RUN_STATUS_")
    return "".join(part.capitalize() for part in name.split("_"))


def _of_run_ids(values: Sequence[str]) -> str:
    return one_of("run_id", [quoted(each) for each in values if _RUN_ID.fullmatch(each)])


def _of_time(field: str, comparator: str, milliseconds: int) -> str | None:
    """Times count by their whole milliseconds."""
    bounds: Mapping[str, Sequence[str | None]] = {
        ">": [since(field, milliseconds + 1)],
        ">=": [since(field, milliseconds)],
        "<": [before(field, milliseconds)],
        "<=": [before(field, milliseconds + 1)],
        "=": [since(field, milliseconds), before(field, milliseconds + 1)],
    }
    found = bounds.get(comparator, [None])
    return None if None in found else " AND ".join(map(str, found))


def _of_param(clause: Clause) -> str | None:
    return _equal("properties", PARAM + clause.key, clause)


def _of_tag(clause: Clause) -> str | None:
    own = _equal("tags", clause.key, clause)
    if own is None or not clause.value or clause.key == NOTE_TAG:
        return None  # a tag without a value is one with an empty value here
    if not clause.key.startswith("mlflow."):
        return own
    if clause.key == RUN_NAME_TAG:
        return f"display_name = {quoted(str(clause.value))}"
    if clause.key == PARENT_TAG:
        is_id = _RUN_ID.fullmatch(str(clause.value))
        return f"({own} OR parent = {quoted(str(clause.value))})" if is_id else own
    return f"({own} OR {_equal('properties', clause.key, clause)})"


def _equal(field: str, key: str, clause: Clause) -> str | None:
    if clause.comparator != "=":
        return None
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{field}."{escaped}" = {quoted(str(clause.value))}'


_OF_ENTITY: Mapping[str, Callable[[Clause], str | None]] = {
    "attributes": _of_attribute,
    "params": _of_param,
    "tags": _of_tag,
}
