"""Tells whether two series consist of the same values, to the last bit, however they are cut into pieces."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast
from zlib import crc32

import numpy as np

from runstream_server.metrics.model import Int64s, Kind, Points, Segment


@dataclass(slots=True)
class Fingerprint:
    """The number of points of a series, and checksums of its columns."""

    count: int = 0
    columns: dict[str, int] = field(default_factory=dict)

    def add(self, points: Points) -> None:
        """Takes in the next points, which have a step each."""
        self._add("step", np.ascontiguousarray(cast("Int64s", points.steps)).data)
        self._add("time", np.ascontiguousarray(points.times).data)
        for segment in points.segments:
            for name, content in _contents(segment, self.count):
                self._add(name, content)
            self.count += segment.count

    def _add(self, column: str, content: bytes | memoryview) -> None:
        self.columns[column] = crc32(content, self.columns.get(column, 0))


def _contents(segment: Segment, start_index: int) -> Iterator[tuple[str, bytes | memoryview]]:
    """What is to be summed up of values, by the name of the sum."""
    yield "kind", bytes([segment.kind]) * segment.count
    match segment.kind:
        case Kind.NULL:
            pass
        case Kind.STRING:
            yield "STRING", _texts(segment.strings)
        case Kind.ARTIFACTS:
            yield "artifact kind", bytes([segment.artifacts.artifact_kind]) * segment.count
            yield "ARTIFACTS", _texts(segment.artifacts.paths)
        case Kind.TABLE:
            yield from _rows(segment, start_index)
        case _:
            yield segment.kind.name, np.ascontiguousarray(segment.array).data


def _texts(texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(len(each).to_bytes(4, "little") + each for each in encoded)


def _rows(segment: Segment, start_index: int) -> Iterator[tuple[str, bytes | memoryview]]:
    """Where each column has cells, and which; and the columns of each row."""
    columns = segment.table.columns
    yield "columns", crc32(_texts([column.name for column in columns])).to_bytes(4, "little") * segment.count
    rows = np.arange(start_index, start_index + segment.count).tobytes()
    for column in columns:
        yield f"rows {column.name}", rows
        for name, content in _contents(column.cells, 0):
            yield f"{name} {column.name}", content
