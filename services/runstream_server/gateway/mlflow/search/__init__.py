"""The search language of MLflow: clauses that are joined by AND, orders, and pages that are told apart by them.

A `Schema` says which keys there are and how each is compared; `parse_filter` and `parse_order` take texts apart by it.
What is searched is a `Subject`; `admits` says whether a filter takes it, an `Ordering` where it stands, `First` keeps
those of a page, and a `Query` makes the tokens that lead from one page to the next.
"""

from runstream_server.gateway.mlflow.search.clauses import Clause, Subject, admits, admitted
from runstream_server.gateway.mlflow.search.ordering import Order, Ordering, Place, order_by, parse_order
from runstream_server.gateway.mlflow.search.pages import First, Query
from runstream_server.gateway.mlflow.search.parse import parse_filter
from runstream_server.gateway.mlflow.search.schema import (
    LABEL,
    LISTED_TEXT,
    NUMBER,
    TEXT,
    Entity,
    Field,
    Scalar,
    Schema,
)

__all__ = [
    "LABEL",
    "LISTED_TEXT",
    "NUMBER",
    "TEXT",
    "Clause",
    "Entity",
    "Field",
    "First",
    "Order",
    "Ordering",
    "Place",
    "Query",
    "Scalar",
    "Schema",
    "Subject",
    "admits",
    "admitted",
    "order_by",
    "parse_filter",
    "parse_order",
]
