"""From the syntax of a filter to a condition in SQL."""

from collections.abc import Mapping

from runstream_server.runs.errors import InvalidOrder
from runstream_server.runs.filter.fields import (
    ExperimentField,
    Field,
    FlagColumn,
    LabelsColumn,
    MetricsField,
    RunColumn,
    Scope,
    StatusColumn,
    TextColumn,
    TimeColumn,
    TreeColumn,
    WholeNumberColumn,
)
from runstream_server.runs.filter.parse import Order
from runstream_server.runs.filter.syntax import And, Node, Not, Or, Term, terms
from runstream_server.runs.filter.values import experiment_of, wrong

Fields = Mapping[str, Field]

RUN_FIELDS: Fields = {
    "status": StatusColumn("r.status"),
    "create_time": TimeColumn("r.create_time"),
    "start_time": TimeColumn("r.start_time"),
    "end_time": TimeColumn("r.end_time"),
    "update_time": TimeColumn("r.update_time"),
    "tags": LabelsColumn("r.tags"),
    "properties": LabelsColumn("r.properties"),
    "experiment": ExperimentField(),
    "parent": RunColumn("r.parent"),
    "ancestor": TreeColumn(includes_itself=False),
    "root": TreeColumn(includes_itself=True),
    "run_id": RunColumn("r.run"),
    "number": WholeNumberColumn("r.number"),
    "run_type": TextColumn("r.run_type"),
    "display_name": TextColumn("r.display_name"),
    "description": TextColumn("r.description"),
    "creator": TextColumn("r.creator"),
    "target": TextColumn("r.target"),
    "hidden": FlagColumn("r.hidden"),
    "metrics": MetricsField(),
}
"""The fields of a run; `r` is its row."""

EXPERIMENT_FIELDS: Fields = {
    "display_name": TextColumn("e.display_name"),
    "description": TextColumn("e.description"),
    "create_time": TimeColumn("e.create_time"),
    "update_time": TimeColumn("e.update_time"),
    "archive_time": TimeColumn("e.archive_time"),
    "tags": LabelsColumn("e.tags"),
}
"""The fields of an experiment; `e` is its row."""


def compile_filter(node: Node | None, fields: Fields, scope: Scope) -> str:
    """The condition of a filter, its values added to the parameters of `scope`; `true` for none.

    Raises:
        InvalidFilter: A field, an operator or a value is not of the language; says where.
    """
    match node:
        case None:
            return "true"
        case Term():
            return _field(node, fields).compare(node, scope)
        case Not(Term(operator=":") as term) if term.value.is_any:
            return _field(term, fields).is_absent(term, scope)
        case Not(inner):
            return f"({compile_filter(inner, fields, scope)}) IS NOT TRUE"
        case And(parts):
            return "(" + " AND ".join(compile_filter(part, fields, scope) for part in parts) + ")"
        case Or(parts):
            return "(" + " OR ".join(compile_filter(part, fields, scope) for part in parts) + ")"


def order_column(order: Order, fields: Fields, scope: Scope) -> str:
    """What rows are ordered by; may be NULL.

    Raises:
        InvalidOrder: It is not a field that rows can be ordered by.
    """
    field = fields.get(order.path[0])
    column = field.order(order.path, scope) if field else None
    if column is None:
        raise InvalidOrder(
            f"{'.'.join(order.path)[:80]!r} is not a field that rows can be ordered by; there are {_orders(fields)}"
        )
    return column


def speaks_of(node: Node | None, field: str) -> bool:
    """Whether a filter compares a field."""
    return any(term.path[0] == field for term in terms(node))


def experiment_names(node: Node | None, workspace: str) -> set[str]:
    """The display names of experiments that a filter compares with."""
    return {
        term.value.text
        for term in terms(node)
        if term.path[0] == "experiment" and term.operator != ":" and experiment_of(term.value, workspace) is None
    }


def _field(term: Term, fields: Fields) -> Field:
    field = fields.get(term.path[0])
    if field is None:
        raise wrong(f"there is no field {term.path[0][:80]!r}; there are {', '.join(fields)}", term)
    return field


def _orders(fields: Fields) -> str:
    def shown(name: str, field: Field) -> str:
        if isinstance(field, LabelsColumn):
            return f"{name}.KEY"
        return "metrics.NAME.last (.min, .max, .count)" if isinstance(field, MetricsField) else name

    unordered = ("experiment", "ancestor", "hidden")
    return ", ".join(shown(name, field) for name, field in fields.items() if name not in unordered)
