"""Recognises batches by their bytes, where a writer sends what it sent before with other numbers."""

from collections.abc import Sequence

from runstream_server.metrics.layouts import AROUND_BYTES, MAX_COUNT, MAX_NAME_BYTES, MAX_NUMBERS, Layout, layout_of
from runstream_server.metrics.model import Kind, KnownBatch, Points, SeriesPiece

_BATCH, _SEQUENCE, _DIGEST = 0x12, 0x08, b"\x1a\x20"
_DIGEST_BYTES = 32
_MAX_LAYOUTS = 8


class Recogniser:
    """Knows the layouts of the batches of one stream."""

    def __init__(self) -> None:
        self._layouts: dict[int, Layout] = {}
        self._latest: Layout | None = None
        self._seen: set[int] = set()

    def read(self, data: bytes) -> tuple[int, KnownBatch] | None:
        """The sequence and the content of a message that is a batch of a known layout; None of any other one.

        What is not compared are the numbers of the layout alone, and the digest: so it is what parsing would find.
        """
        if self._latest is None:
            return None
        head = _head(data)
        if head is None:
            return None
        sequence, begin = head
        digest = _digest(data)
        end = len(data) - len(digest) - len(_DIGEST) if digest else len(data)
        layout = self._layouts.get(end - begin) or _with_other_counts(self._latest, end - begin)
        series = data[begin:end]
        if layout is None or not layout.fits(series):
            return None
        self._take(layout)
        return sequence, KnownBatch(digest, layout, series)

    def learn(self, data: bytes, digest: bytes, pieces: Sequence[SeriesPiece]) -> None:
        """Takes note of a batch of which nothing was refused."""
        head = _head(data)
        if head is None or not pieces:
            return
        end = len(data) - len(digest) - len(_DIGEST) if digest else len(data)
        series = data[head[1] : end]
        layout = _layout(pieces) if self._is_worth_it(series, pieces) else None
        if layout is not None and layout.size_bytes == len(series) and layout.fits(series):
            self._take(layout)

    def _is_worth_it(self, series: bytes, pieces: Sequence[SeriesPiece]) -> bool:
        """Whether such batches may come again: they do when all metrics are logged together, else when one did."""
        if len({piece.content.count for piece in pieces if isinstance(piece.content, Points)}) == 1:
            return True
        if len(series) in self._seen:
            return True
        _bound(self._seen)
        self._seen.add(len(series))
        return False

    def _take(self, layout: Layout) -> None:
        self._latest = layout
        if layout.size_bytes not in self._layouts:
            _bound(self._layouts)
            self._layouts[layout.size_bytes] = layout


def _with_other_counts(layout: Layout, size_bytes: int) -> Layout | None:
    """The layout of the same metrics with as many values of each as fill a batch, if all have as many."""
    count = layout.counts[0]
    if layout.counts.count(count) != len(layout.counts):
        return None
    count += round((size_bytes - layout.size_bytes) / layout.value_bytes)
    if not 0 < count <= MAX_COUNT or count * len(layout.counts) > MAX_NUMBERS:
        return None
    other = layout_of(layout.sent_metrics, (count,) * len(layout.counts), layout.has_steps)
    return other if other.size_bytes == size_bytes else None


def _bound(known: dict[int, Layout] | set[int]) -> None:
    if len(known) >= _MAX_LAYOUTS:
        known.clear()


def _head(data: bytes) -> tuple[int, int] | None:
    """The sequence of a batch, and where what follows it begins."""
    try:
        if data[0] != _BATCH:
            return None
        length, begin = _varint(data, 1)
        if begin + length != len(data) or data[begin] != _SEQUENCE:
            return None
        sequence, begin = _varint(data, begin + 1)
    except IndexError:
        return None
    return (sequence, begin) if sequence < 1 << 63 else None


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """The number there, and where it ends."""
    byte = data[place]
    if byte < 0x80:
        return byte, place + 1
    number, shift = byte & 0x7F, 7
    while (byte := data[place := place + 1]) >= 0x80:
        number |= (byte & 0x7F) << shift
        shift += 7
    return number | byte << shift, place + 1


def _digest(data: bytes) -> bytes:
    """A whole digest at the end, as the clients send it; a shorter one is none here."""
    if data[-_DIGEST_BYTES - 2 : -_DIGEST_BYTES] == _DIGEST:
        return data[-_DIGEST_BYTES:]
    return b""


def _layout(pieces: Sequence[SeriesPiece]) -> Layout | None:
    """The layout of pieces that are a few numbers each, of metrics of their own, all with steps or all without."""
    points = [piece.content for piece in pieces if isinstance(piece.content, Points) and not piece.description]
    counts = tuple(each.count for each in points)
    if len(points) != len(pieces) or not 0 < max(counts) <= MAX_COUNT or sum(counts) > MAX_NUMBERS:
        return None
    has_steps = points[0].steps is not None
    metrics = tuple(piece.metric for piece in pieces)
    if sum(len(metric.encode()) + AROUND_BYTES for metric in metrics) > MAX_NAME_BYTES:
        return None
    if len(set(metrics)) < len(metrics) or not all(_is_alike(each, has_steps) for each in points):
        return None
    return layout_of(metrics, counts, has_steps)


def _is_alike(points: Points, has_steps: bool) -> bool:
    segments = points.segments
    return (points.steps is not None) is has_steps and len(segments) == 1 and segments[0].kind is Kind.DOUBLE
