"""Tells whether two series consist of the same values, to the last bit, however they are cut into pieces."""

from collections.abc import Iterator
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
        self.count += points.count
        self._add("step", np.ascontiguousarray(cast("Int64s", points.steps)).data)
        self._add("time", np.ascontiguousarray(points.times).data)
        for segment in points.segments:
            self._add("kind", bytes([segment.kind]) * segment.count)
            for name, content in _contents(segment):
                self._add(name, content)

    def _add(self, column: str, content: bytes | memoryview) -> None:
        self.columns[column] = crc32(content, self.columns.get(column, 0))


def _contents(segment: Segment) -> Iterator[tuple[str, bytes | memoryview]]:
    match segment.kind:
        case Kind.NULL:
            pass
        case Kind.STRING:
            for text in segment.strings:
                encoded = text.encode()
                yield "string", len(encoded).to_bytes(4, "little") + encoded
        case _:
            yield segment.kind.name, np.ascontiguousarray(segment.array).data
