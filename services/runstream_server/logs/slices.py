"""Makes of stored chunks what readers get: slices that are neither tiny nor huge."""

from collections.abc import Iterable, Sequence

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.chunks import decode_text
from runstream_server.logs.model import StoredText, TextSlice

_SLICE_BYTES = 256 * 1024


def slices(chunks: Iterable[StoredText], start: int, end: int) -> Sequence[TextSlice]:
    """Decodes chunks that follow each other and returns their bytes from `start` to before `end`.

    Raises:
        StoredBytesDamaged: Chunks are missing, or not what was stored.
    """
    expected = start
    parts = []
    for chunk in chunks:
        if not chunk.start_offset <= expected < chunk.end_offset:
            raise StoredBytesDamaged(f"bytes at {expected} are missing")
        data = decode_text(chunk.content, chunk.size_bytes)
        parts.append(data[expected - chunk.start_offset : end - chunk.start_offset])
        expected = min(chunk.end_offset, end)
    if not parts:
        raise StoredBytesDamaged(f"bytes at {expected} are missing")
    return _cut(start, b"".join(parts))


def _cut(start: int, data: bytes) -> Sequence[TextSlice]:
    return [TextSlice(start + at, data[at : at + _SLICE_BYTES]) for at in range(0, len(data), _SLICE_BYTES)]
