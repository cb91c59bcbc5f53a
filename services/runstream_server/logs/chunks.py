"""Log text as bytes and back. A chunk describes itself and stays readable for all later versions.

Format 1, in an envelope: one block of bytes.
"""

import struct
from dataclasses import dataclass
from datetime import datetime

from runstream_server.compression import pack_bytes, unpack, zstd_frame
from runstream_server.envelope import StoredBytesDamaged, checked, unwrap, wrap
from runstream_server.logs.model import Mark

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredText:
    """A chunk and its place."""

    start_offset: int
    size_bytes: int

    line_feeds: int | None
    """How many it has; None: it is of an earlier version, which did not note that."""

    write_time: datetime
    receive_time: datetime
    content: bytes

    checksum: bytes | None = None
    """What the content ends with, as its place has it noted; None: it is of an earlier version."""

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""
        return self.start_offset + self.size_bytes

    @property
    def mark(self) -> Mark:
        """When its bytes were written."""
        return Mark(self.end_offset, self.write_time, self.receive_time)

    def decode(self) -> bytes:
        """Its bytes; raises StoredBytesDamaged if they are not what was stored."""
        return decode_text(self._own_content(), self.size_bytes)

    def zstd_frame(self) -> bytes | None:
        """Its bytes as a frame of zstd, if they are stored as one; raises StoredBytesDamaged as `decode` does."""
        frame = zstd_frame(unwrap(self._own_content(), _FORMAT))
        return bytes(frame) if frame is not None else None

    def _own_content(self) -> bytes:
        return checked(self.content, self.checksum, "the text of a chunk")


def encode_text(data: bytes) -> bytes:
    """Encodes bytes of a log."""
    return wrap(_FORMAT, pack_bytes(data))


def decode_text(content: bytes, size_bytes: int) -> bytes:
    """Decodes what `encode_text` made of `size_bytes` bytes, by this version or an earlier one.

    Raises:
        StoredBytesDamaged: They are not what was stored.
    """
    body = unwrap(content, _FORMAT)
    try:
        data, rest = unpack(body)
    except (struct.error, ValueError) as error:
        raise StoredBytesDamaged(str(error)) from error
    if len(data) != size_bytes or len(rest):
        raise StoredBytesDamaged(f"a chunk has {len(data)} bytes instead of {size_bytes}")
    return data
