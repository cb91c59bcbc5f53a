"""Stored bytes that describe and check themselves: a format version, the body, a CRC-32 of both."""

import struct
import zlib

from runstream_server.errors import DataLoss

_VERSION = struct.Struct("<B")
_CHECKSUM = struct.Struct("<I")


class StoredBytesDamaged(DataLoss):
    """Stored bytes are not what was stored."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"stored bytes are damaged: {problem}; restore them from a backup", problem=problem)


def wrap(version: int, *body: bytes) -> bytes:
    """Puts the parts of a body into an envelope; `version` (0 to 255) says how to read it."""
    covered = b"".join((_VERSION.pack(version), *body))
    return covered + _CHECKSUM.pack(zlib.crc32(covered))


def checksum_of(data: bytes) -> bytes:
    """The checksum that an envelope ends with, to be kept in another place as well."""
    return data[-_CHECKSUM.size :]


def checked(data: bytes, checksum: bytes | None, what: str) -> bytes:
    """Returns an envelope if it ends with the checksum that is kept of it; None: none is kept.

    Raises:
        StoredBytesDamaged: It is another one, however well in itself; `what` says which was expected.
    """
    if checksum is not None and checksum_of(data) != checksum:
        raise StoredBytesDamaged(f"{what} is not the one that was stored there")
    return data


def unwrap(data: bytes, *versions: int) -> memoryview:
    """Takes the body out of an envelope; raises StoredBytesDamaged if anything changed since, or on other versions."""
    if len(data) < _VERSION.size + _CHECKSUM.size:
        raise StoredBytesDamaged(f"{len(data)} bytes are too few")
    view = memoryview(data)
    covered, (checksum,) = view[: -_CHECKSUM.size], _CHECKSUM.unpack(view[-_CHECKSUM.size :])
    if zlib.crc32(covered) != checksum:
        raise StoredBytesDamaged("the checksum does not match")
    if covered[0] not in versions:
        raise StoredBytesDamaged(f"format {covered[0]} is not known to this version")
    return covered[_VERSION.size :]
