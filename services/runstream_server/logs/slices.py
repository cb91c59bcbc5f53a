"""Makes of stored text what readers get: slices that are neither tiny nor huge."""

from collections.abc import Iterator

from runstream_server.logs.model import Block, TextSlice, marks_between

_SLICE_BYTES = 256 * 1024


def slices(block: Block, start: int, end: int) -> Iterator[TextSlice]:
    """Yields the bytes of a block from `start` to before `end`, as far as it has them."""
    first, beyond = max(start, block.offset), min(end, block.end_offset)
    line = 1 + block.line_feeds_before + block.data.count(b"\n", 0, first - block.offset)
    for offset in range(first, beyond, _SLICE_BYTES):
        after = min(offset + _SLICE_BYTES, beyond)
        data = block.data[offset - block.offset : after - block.offset]
        yield TextSlice(offset, data, line, marks_between(block.marks, offset, after) if block.marks else ())
        line += data.count(b"\n")
