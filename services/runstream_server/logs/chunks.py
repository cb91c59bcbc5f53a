"""Log text as bytes and back. A chunk describes itself and stays readable for all later versions.

Format 1, in an envelope: one block of bytes.
"""

import struct

from runstream_server.compression import pack_bytes, unpack
from runstream_server.envelope import StoredBytesDamaged, unwrap, wrap

_FORMAT = 1


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
