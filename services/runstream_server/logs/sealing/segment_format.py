"""What a segment looks like; `docs/logs.md` describes it.

Frames of zstd, one after the other, so that `zstd -dc` makes text of an object: large chunks as they were, small ones
joined. Two frames that decompressors skip follow: the times, and an index that repeats what Postgres knows, for whoever
has nothing but the object.
"""

import json
import struct
import threading
from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np
import zstandard

from runstream_server.compression import pack_array, unpack
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.counting import count_line_feeds
from runstream_server.logs.model import Mark
from runstream_server.logs.sealing.model import Frame, Segment
from runstream_server.logs.sealing.times import from_microseconds, to_microseconds

FRAME_BYTES = 256 * 1024
"""How much text a frame holds that is made of small chunks, the last one before a large chunk apart."""

FORMAT = 1
_LEVEL = 1
_SKIPPED = struct.Struct("<II")
_SKIPPED_MAGIC = 0x184D2A50
_FRAME = struct.Struct("<IIII")
_LENGTH = struct.Struct("<I")


class _Codecs(threading.local):
    """A compressor and a decompressor per thread: they are not safe to share."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def encode_frame(text: bytes) -> tuple[bytes, Frame]:
    """Makes a frame of 1 byte or more."""
    stored = _codecs.compressor.compress(text)
    return stored, Frame(len(stored), len(text), count_line_feeds(text), crc32(stored))


def decode_frame(stored: bytes | memoryview, frame: Frame, key: str) -> bytes:
    """The text of a frame; raises StoredBytesDamaged if it is not what was stored."""
    if len(stored) != frame.stored_bytes or crc32(stored) != frame.crc:
        raise StoredBytesDamaged(f"a frame of {key} does not have its checksum")
    try:
        text = _codecs.decompressor.decompress(stored, max_output_size=frame.size_bytes)
    except zstandard.ZstdError as error:
        raise StoredBytesDamaged(f"a frame of {key}: {error}") from error
    if len(text) != frame.size_bytes:
        raise StoredBytesDamaged(f"a frame of {key} has {len(text)} bytes instead of {frame.size_bytes}")
    return text


def pack_frames(frames: Iterable[Frame]) -> bytes:
    """What Postgres keeps of frames."""
    return b"".join(_FRAME.pack(*frame) for frame in frames)


def unpack_frames(data: bytes) -> Sequence[Frame]:
    """The frames that `pack_frames` was given."""
    return [Frame(*fields) for fields in _FRAME.iter_unpack(data)]


def encode_times(marks: Sequence[Mark]) -> bytes:
    """Makes a frame that decompressors skip: offsets, times of writing, and how much later the bytes were received."""
    ends = np.fromiter((mark.end_offset for mark in marks), np.int64, len(marks))
    written = np.fromiter((to_microseconds(mark.write_time) for mark in marks), np.int64, len(marks))
    received = np.fromiter((to_microseconds(mark.receive_time) for mark in marks), np.int64, len(marks))
    columns = (np.diff(ends, prepend=0), np.diff(written, prepend=0), received - written)
    return _skipped(b"".join(pack_array(column.astype("<i8")) for column in columns))


def decode_times(stored: bytes) -> Sequence[Mark]:
    """The marks that `encode_times` was given."""
    rest = memoryview(stored)[_SKIPPED.size :]
    columns = []
    for _ in range(3):
        column, rest = unpack(rest)
        columns.append(np.frombuffer(column, "<i8"))
    ends, written = np.cumsum(columns[0]).tolist(), np.cumsum(columns[1])
    received = (written + columns[2]).tolist()
    times = zip(ends, written.tolist(), received, strict=True)
    return [Mark(end, from_microseconds(write), from_microseconds(receive)) for end, write, receive in times]


def encode_index(segment: Segment, path: str) -> bytes:
    """Makes the last frame, which decompressors skip: JSON, and in the last four bytes how long that is."""
    document = {
        "format": FORMAT,
        "run": str(segment.run),
        "path": path,
        "start_offset": segment.start_offset,
        "start_line_feeds": segment.start_line_feeds,
        "frames": segment.frames,
        "times": [segment.times.start, segment.times.stored_bytes, segment.times.crc],
    }
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return _skipped(content + _LENGTH.pack(len(content)))


def _skipped(content: bytes) -> bytes:
    return _SKIPPED.pack(_SKIPPED_MAGIC, len(content)) + content
