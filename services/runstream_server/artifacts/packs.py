"""Packs: many small blobs in one object.

A pack is the bytes of its blobs, one behind the other, then 48 bytes for each blob (SHA-256, first byte and length as
little-endian integers of 64 bits), then 16 bytes: how many blobs there are, as such an integer, and `RSPACK01`. So it
can be taken apart without the database.
"""

import struct
from collections.abc import Sequence

_ENTRY = struct.Struct("<32sQQ")
_TRAILER = struct.Struct("<Q8s")
_MAGIC = b"RSPACK01"


def make_pack(blobs: Sequence[tuple[str, bytes]]) -> tuple[bytes, Sequence[int]]:
    """Returns a pack of blobs, each with its digest, and where in it each begins."""
    starts: list[int] = []
    at = 0
    for _, data in blobs:
        starts.append(at)
        at += len(data)
    index = [
        _ENTRY.pack(bytes.fromhex(digest), start, len(data))
        for (digest, data), start in zip(blobs, starts, strict=True)
    ]
    return b"".join([*(data for _, data in blobs), *index, _TRAILER.pack(len(blobs), _MAGIC)]), starts


def read_index(pack: bytes) -> Sequence[tuple[str, int, int]]:
    """Returns digest, first byte and length of each blob; raises ValueError if this is no pack."""
    count, magic = _TRAILER.unpack(pack[-_TRAILER.size :]) if len(pack) >= _TRAILER.size else (0, b"")
    first = len(pack) - _TRAILER.size - count * _ENTRY.size
    if magic != _MAGIC or first < 0:
        raise ValueError("not a pack")
    return [(digest.hex(), start, length) for digest, start, length in _ENTRY.iter_unpack(pack[first : -_TRAILER.size])]
