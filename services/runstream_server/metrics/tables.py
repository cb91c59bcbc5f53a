"""Values of series that are no plain values: rows of tables, and artifacts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runstream_server.metrics.model import Segment


@dataclass(slots=True)
class TableColumn:
    """One column of a table."""

    name: str

    cells: "Segment"
    """One for each row, none of them a table or an artifact."""


@dataclass(slots=True)
class Table:
    """Rows of a table. Not changed once it is made."""

    row_count: int
    columns: Sequence[TableColumn]

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    def __len__(self) -> int:
        return self.row_count

    def __getitem__(self, rows: slice) -> "Table":
        start, end, _ = rows.indices(self.row_count)
        return Table(end - start, [TableColumn(each.name, each.cells.cut(start, end)) for each in self.columns])


@dataclass(slots=True)
class Artifacts:
    """Artifacts of a run, by path. Not changed once it is made."""

    artifact_kind: int
    """What all of them are: the number of an `ArtifactKind` of the contract."""

    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, part: slice) -> "Artifacts":
        return Artifacts(self.artifact_kind, self.paths[part])
