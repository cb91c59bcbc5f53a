"""Batches that are told by their bytes: of the same metrics as before, with as many numbers of each.

A writer says the same again and again, and only numbers differ. So where they lie is worked out once for a list of
metrics and counts; a batch that has the right bytes between them is taken apart without looking at each series.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_COUNT: Final = 64
"""Numbers of one series."""
MAX_NUMBERS: Final = 2_048
"""Numbers of all series together."""
MAX_NAME_BYTES: Final = 4_096
"""Bytes of the names of all series together, and of what stands around their numbers: a layout takes up to 25 KiB."""
AROUND_BYTES: Final = 24
"""What stands around the numbers of a series, at most."""
_LAYOUTS: Final = 1_024
"""How many are remembered, by all streams of a process together."""
_WIDTH: Final = 8
_METRIC, _STEPS, _TIMES, _DOUBLES, _SERIES = b"\x0a", b"\x12", b"\x1a", b"\x22", b"\x12"
_VALUES: Final = b"\x0a"


@dataclass(frozen=True, slots=True)
class Placed:
    """Those series of a layout that have the same number of values."""

    count: int

    ranks: NDArray[np.intp]
    """Of each series, its place among all of the layout in order of name."""

    offsets: NDArray[np.intp]
    """Of each series, where its steps begin, if there are any; then the same of times, then of values."""


class Columns(NamedTuple):
    """What several batches of one layout say of those series that have the same number of values."""

    placed: Placed

    steps: NDArray[np.int64] | None
    """By batch, series and place, as all of these."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the numbers of a batch lie: doubles with times, and with steps or without."""

    sent_metrics: tuple[str, ...]
    """The names, each once, as they are sent."""

    metrics: Sequence[str]
    """The same in order."""

    counts: Sequence[int]
    """How many values each has, in the same order."""

    has_steps: bool

    size_bytes: int
    """How long the series are on the wire."""

    places: NDArray[np.int32]
    """Which bytes are the same in all batches."""

    content: bytes
    """These bytes."""

    placed: Sequence[Placed]

    @property
    def value_bytes(self) -> int:
        """How much longer the series are when each has one more value; about, since their lengths are sent as well."""
        return len(self.metrics) * (3 if self.has_steps else 2) * _WIDTH

    def fits(self, series: bytes) -> bool:
        """Whether the series of a batch lie like this; they have the right length."""
        return np.frombuffer(series, np.uint8)[self.places].tobytes() == self.content

    def columns(self, batches: Sequence[bytes]) -> Iterator[Columns]:
        """Takes the series of some batches apart."""
        data = b"".join(batches)
        for placed in self.placed:
            width = placed.count * _WIDTH
            windows = np.ndarray(
                (len(batches), self.size_bytes - width + 1, width), np.uint8, data, strides=(self.size_bytes, 1, 1)
            )
            numbers = np.ascontiguousarray(windows[:, placed.offsets]).view("<i8")
            numbers = numbers.reshape(len(batches), -1, len(placed.ranks), placed.count)
            steps = numbers[:, 0] if self.has_steps else None
            yield Columns(placed, steps, numbers[:, -2], numbers[:, -1].view("<f8"))


@lru_cache(_LAYOUTS)
def layout_of(metrics: tuple[str, ...], counts: tuple[int, ...], has_steps: bool) -> Layout:
    """The layout of series in this order; the same one for all who ask."""
    data = bytearray()
    begins = [
        _append(data, metric.encode(), count * _WIDTH, has_steps) for metric, count in zip(metrics, counts, strict=True)
    ]
    offsets = np.array(begins, np.intp).T
    same = np.ones(len(data), np.bool_)
    for series, count in enumerate(counts):
        for offset in offsets[:, series]:
            same[offset : offset + count * _WIDTH] = False
    places = np.flatnonzero(same).astype(np.int32)
    order = sorted(range(len(metrics)), key=metrics.__getitem__)
    ranks = np.argsort(order)
    of_count = {count: [place for place, each in enumerate(counts) if each == count] for count in sorted(set(counts))}
    return Layout(
        metrics,
        [metrics[place] for place in order],
        [counts[place] for place in order],
        has_steps,
        len(data),
        places,
        np.frombuffer(bytes(data), np.uint8)[places].tobytes(),
        [Placed(count, ranks[chosen], offsets[:, chosen].ravel()) for count, chosen in of_count.items()],
    )


def _append(data: bytearray, metric: bytes, width: int, has_steps: bool) -> Sequence[int]:
    """Adds a series whose numbers are zeros; returns where they begin."""
    zeros = bytes(width)
    values = _VALUES + varint(width) + zeros
    parts = [_METRIC + varint(len(metric)) + metric]
    if has_steps:
        parts.append(_STEPS + varint(width) + zeros)
    parts += [_TIMES + varint(width) + zeros, _DOUBLES + varint(len(values)) + values]
    data += _SERIES + varint(sum(map(len, parts)))
    offsets = []
    for part in parts:
        data += part
        offsets.append(len(data) - width)
    return offsets[1:]


def varint(number: int) -> bytes:
    """A number as it stands on the wire."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
