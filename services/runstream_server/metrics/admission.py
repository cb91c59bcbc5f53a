"""Decides, under the lock of its row, what of several pieces a series can take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runstream_server.metrics.grouping import Share, go_together
from runstream_server.metrics.limits import MAX_COLUMNS, MAX_NAMES, MAX_VALUES
from runstream_server.metrics.model import Chunk, SeriesKind, SeriesPiece
from runstream_server.metrics.refusals import Problem, too_many_columns

TOO_MANY_METRICS = (
    "TOO_MANY_METRICS",
    f"a run has up to {MAX_NAMES} metrics; log the values under fewer names, or in another run",
)

_WORDS = {SeriesKind.VALUES: "values", SeriesKind.TABLE: "rows", SeriesKind.ARTIFACTS: "artifacts"}


@dataclass(slots=True)
class SeriesState:
    """The locked row of a series."""

    kind: SeriesKind
    count: int
    columns: list[str]

    def take(self, piece: SeriesPiece) -> Problem | None:
        """Adds a piece to the state, or says why the series cannot take it."""
        if not go_together(self.kind, piece.kind):
            return _mixed(self.kind, piece.kind)
        if self.count + count_of(piece) > MAX_VALUES:
            return "TOO_MANY_VALUES", f"a series has up to {MAX_VALUES} values; go on under another name"
        added = [name for name in piece.columns if name not in self.columns]
        if len(self.columns) + len(added) > MAX_COLUMNS:
            return too_many_columns(len(self.columns) + len(added))
        self.kind = self.kind or piece.kind
        self.count += count_of(piece)
        self.columns.extend(added)
        return None


def _mixed(stored: SeriesKind, offered: SeriesKind) -> Problem:
    return (
        "MIXED_KINDS",
        f"the metric consists of {_WORDS[stored]}, set by what was stored first; log {_WORDS[offered]} under another"
        " name",
    )


def admit(state: SeriesState, shares: Iterable[Share]) -> tuple[Sequence[Share], Sequence[tuple[Share, Problem]]]:
    """Parts shares into those that a series can take, which it adds to the state, and those it cannot, with reasons."""
    admitted: list[Share] = []
    refused: list[tuple[Share, Problem]] = []
    for share in shares:
        problem = state.take(share[1])
        if problem is None:
            admitted.append(share)
        else:
            refused.append((share, problem))
    return admitted, refused


def count_of(piece: SeriesPiece) -> int:
    """How many values a piece has."""
    return piece.content.summary.count if isinstance(piece.content, Chunk) else piece.content.count
