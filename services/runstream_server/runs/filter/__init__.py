"""The filter language of listings and watches: from text to a condition in SQL, every value a parameter."""

from runstream_server.runs.filter.compile import (
    EXPERIMENT_FIELDS,
    RUN_FIELDS,
    compile_filter,
    experiment_names,
    order_column,
    speaks_of,
)
from runstream_server.runs.filter.fields import MetricColumns, Parameters, Scope
from runstream_server.runs.filter.parse import Order, parse_filter, parse_order
from runstream_server.runs.filter.syntax import Node

__all__ = [
    "EXPERIMENT_FIELDS",
    "RUN_FIELDS",
    "MetricColumns",
    "Node",
    "Order",
    "Parameters",
    "Scope",
    "compile_filter",
    "experiment_names",
    "order_column",
    "parse_filter",
    "parse_order",
    "speaks_of",
]
