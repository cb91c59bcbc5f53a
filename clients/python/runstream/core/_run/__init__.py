"""What runs do, in both forms: each module adds one part."""

from typing import Generic

from runstream.core._forms import E, R, W
from runstream.core._run.labels import LabelCalls
from runstream.core._run.querying import QueryCalls

__all__ = ["RunCalls"]


class RunCalls(QueryCalls[W, E, R], LabelCalls[W, E, R], Generic[W, E, R]):
    """A run: one execution of a program, or one interactive session of logging."""
