"""The spool file: what the training process writes and the uplink reads.

    file    = header (1,024 bytes), records to the end
    header  = magic "RUNSPOOL", version u8, 3 zero bytes, crc u32, length u32,
              JSON [run, writer, address, after, first, token], zeros;
              at 1,008: drops = crc u32, errno u16, metrics u16, values u64, overwritten in place
    record  = crc u32, length u32, body
    body    = type u8, payload                         (length bytes, 1 MiB at most)

Numbers are little-endian. Each crc is `zlib.crc32` (CRC-32 as in gzip) of what follows it: of length and JSON, of errno
and count, of length and body. Times are microseconds since the Unix epoch. Texts are UTF-8.

    DEFINE          id u32, metric text                gives a metric its id, before its first value
    DESCRIBE        id u32, description text
    REFUSED         JSON [metric, reason, message, count]           values that the writer itself refused
    FOLLOW_FILE     JSON [log path, local path]
    FOLLOW_FOLDER   JSON [log prefix, local folder]
    MARK            number u64                         where a flush stands
    FINISH          nothing, or 1 u8                   the writer will never write again; 1: its process goes on in the
                                                       spool that names this one in `after`
    ARTIFACT        JSON [number, metric, kind, path, time, description]       a file of the writer is one of the run
    END_RUN         JSON [method, time, request, outputs]    how the run is to end once this spool is carried up
    DEFINE_TABLE    id u32, metric text                as DEFINE, for a metric that consists of rows
    VALUE | kind    id u32, time i64, value
    STEPPED | kind  id u32, time i64, step i64, value
    LIST | kind     id u32, time i64, count u32, values             one after the other, all logged at once
    TABLE           id u32, time i64, rows u32, columns u16, columns
    column          kind u8, name length u16, cells length u32, name text, cells as the values of a LIST

A value is an f64, i64, u8, text or nothing, as its kind says; in a LIST a text has its length as u32 before it.

The bytes of an artifact are in a file of their own, `runstream._spool.places` says where; it is there before the record
is. Numbers of artifacts count from 1 without gaps.

A record is written by one call of the system, so a writer that is killed leaves at most its last record unfinished, and
for that one `log()` had not returned. A file of another version has another version byte; version 1 is the same but for
ARTIFACT, DEFINE_TABLE, TABLE, the 1 of FINISH, and what its header lacks: `after`, `first`, how many metrics.

A process that logs much writes one spool after the other, each a writer of its own. `after` is the one before, which is
carried up and removed before this one is begun, and `first` the one that the process began with. `token` names a note
beside the spools, `runstream._spool.tokens` says which; it is left out where there is none.
"""

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)
HEADER_BYTES: Final = 1024
DROPS_OFFSET: Final = 1008
DROPS_BYTES: Final = 16
MAX_DROPPED_METRICS: Final = 2**16 - 1
RECORD_HEAD_BYTES: Final = 8
MAX_BODY_BYTES: Final = 1024 * 1024

DEFINE: Final = 0x01
DESCRIBE: Final = 0x02
REFUSED: Final = 0x03
FOLLOW_FILE: Final = 0x04
FOLLOW_FOLDER: Final = 0x05
MARK: Final = 0x06
FINISH: Final = 0x07
ARTIFACT: Final = 0x08
DEFINE_TABLE: Final = 0x09
END_RUN: Final = 0x0A
VALUE: Final = 0x10
STEPPED: Final = 0x20
LIST: Final = 0x30
TABLE: Final = 0x40

DOUBLE: Final = 1
INT64: Final = 2
BOOL: Final = 3
TEXT: Final = 4
NULL: Final = 5

KIND_MASK: Final = 0x0F
SHAPE_MASK: Final = 0xF0
KINDS: Final = (DOUBLE, INT64, BOOL, TEXT, NULL)
TYPES: Final = (
    frozenset(range(DEFINE, END_RUN + 1))
    | {shape | kind for shape in (VALUE, STEPPED, LIST) for kind in KINDS}
    | {TABLE}
)

_MAGIC = b"RUNSPOOL"
_HEADER = struct.Struct("<8sB3xII")
_LENGTH = struct.Struct("<I")
_DROPS = struct.Struct("<IHHQ")


class SpoolDamaged(Exception):
    """The header of a spool cannot be read, so nobody knows where its records belong."""


class UnknownVersion(SpoolDamaged):
    """The spool was written by a later version."""


@dataclass(frozen=True)
class Header:
    """Whose records a spool holds."""

    run: str
    """`workspaces/{workspace}/runs/{run}`."""

    writer: str
    """32 hexadecimal digits, never used for another spool."""

    address: str
    """`host:port` of the services that know the run."""

    after: str = ""
    """The writer whose spool the same process wrote before this one; empty: there was none."""

    first: str = ""
    """The writer of the first spool of the process; empty: this one."""

    token: str = ""
    """The note that says which token its calls carry, never a token; empty: what this user has stored."""


class Drops(NamedTuple):
    """Values that never reached the spool."""

    value_count: int
    errno: int
    """Why the last of them could not be written; 0: not by an error of the system."""
    metric_count: int = 0
    """Of how many metrics, `MAX_DROPPED_METRICS` for as many or more; 0: not known."""


def encode_header(header: Header) -> bytes:
    """The first `HEADER_BYTES` bytes of a spool.

    Raises:
        ValueError: The names are too long for it.
    """
    said = [header.run, header.writer, header.address, header.after, header.first]
    text = json.dumps([*said, header.token] if header.token else said).encode()
    crc = zlib.crc32(_LENGTH.pack(len(text)) + text)
    packed = _HEADER.pack(_MAGIC, VERSION, crc, len(text)) + text
    if len(packed) > DROPS_OFFSET:
        raise ValueError("the names of the run and its address are too long")
    return packed.ljust(DROPS_OFFSET, b"\0") + encode_drops(Drops(0, 0))


def decode_header(data: bytes) -> Header:
    """The header in the first `HEADER_BYTES` bytes of a spool.

    Raises:
        UnknownVersion: It was written by a later version.
        SpoolDamaged: It is damaged, or this is no spool.
    """
    if len(data) < HEADER_BYTES:
        raise SpoolDamaged("the header is cut off")
    magic, version, crc, length = _HEADER.unpack_from(data)
    text = data[_HEADER.size : _HEADER.size + length]
    if magic == _MAGIC and version not in READABLE_VERSIONS:
        raise UnknownVersion(f"version {version} of the spool format is not known here")
    if magic != _MAGIC or crc != zlib.crc32(_LENGTH.pack(length) + text):
        raise SpoolDamaged("the header is damaged")
    return Header(*json.loads(text))


def encode_drops(drops: Drops) -> bytes:
    """The `DROPS_BYTES` bytes that stand at `DROPS_OFFSET`."""
    checked = _DROPS.pack(0, drops.errno, drops.metric_count, drops.value_count)[_LENGTH.size :]
    return _LENGTH.pack(zlib.crc32(checked)) + checked


def decode_drops(data: bytes) -> Drops | None:
    """What the bytes at `DROPS_OFFSET` say; None when they are damaged or just being overwritten."""
    if len(data) != DROPS_BYTES:
        return None
    crc, errno, metric_count, count = _DROPS.unpack(data)
    return Drops(count, errno, metric_count) if crc == zlib.crc32(data[_LENGTH.size :]) else None
