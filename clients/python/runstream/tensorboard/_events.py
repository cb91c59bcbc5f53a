"""Scalars in the format of TensorBoard's event files.

A file is a sequence of records: the length of the data (8 bytes), its masked CRC-32C, the data, and the masked CRC-32C
of the data, all little-endian. The data of a record is one message `tensorboard.Event` of protobuf.
"""

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

MICROSECONDS: Final = 1e6
POLYNOMIAL: Final = 0x82F63B78
"""Of CRC-32C, its bits reversed."""
MASK: Final = 0xA282EAD8
LENGTH_BYTES, CHECK_BYTES = 8, 4

WALL_TIME, STEP, FILE_VERSION, SUMMARY = b"\x09", b"\x10", b"\x1a", b"\x2a"
"""Fields of an Event: 1, a double; 2, a varint; 3, a text; 5, a message."""
VALUE = b"\x0a"
"""Of a Summary: field 1, a message."""
TAG, SIMPLE_VALUE = b"\x0a", b"\x15"
"""Fields of a Value: 1, a text; 2, a float."""
VERSION: Final = b"brain.Event:2"


def first_record(seconds: float) -> bytes:
    """The record that a file begins with; `seconds` since the Unix epoch is when."""
    event = WALL_TIME + struct.pack("<d", seconds) + FILE_VERSION + _sized(VERSION)
    return bytes(_records(np.frombuffer(event, np.uint8).reshape(1, -1)).tobytes())


def scalar_records(tag: str, steps: Any, times: Any, values: Any) -> bytes:
    """The records of consecutive values of one tag, in order.

    `steps` are int64[n], `times` int64[n] in microseconds since the Unix epoch, `values` numbers or truth values [n].
    The format has values of 32 bits: others are rounded, and those that are too large become infinities.
    """
    columns = _seconds(times), np.asarray(steps, "<i8").view("<u8"), _floats(values)
    widths = np.searchsorted(_LEAST_OF_WIDTH, columns[1], side="right") + 1
    pieces = {
        int(width): _records(_events(tag, int(width), *(column[widths == width] for column in columns)))
        for width in np.unique(widths)
    }
    if len(pieces) == 1:
        return bytes(next(iter(pieces.values())).tobytes())
    return _interleaved(widths, pieces)


def _events(tag: str, width: int, times: Bytes, steps: npt.NDArray[np.uint64], values: Bytes) -> Bytes:
    """Events [n, size] whose steps all take `width` bytes as varints."""
    value = TAG + _sized(tag.encode()) + SIMPLE_VALUE
    value_size = len(value) + values.shape[1]
    summary = VALUE + _varint(value_size) + value
    middle = SUMMARY + _varint(len(summary) + values.shape[1]) + summary
    count = len(steps)
    parts = [_repeated(WALL_TIME, count), times, _repeated(STEP, count), _varints(steps, width)]
    return np.hstack([*parts, _repeated(middle, count), values])


def _records(events: Bytes) -> Bytes:
    """The records [n, size] of events [n, size]."""
    count, size = events.shape
    length = struct.pack("<Q", size)
    length_check = _checks(np.frombuffer(length, np.uint8).reshape(1, -1)).tobytes()
    return np.hstack([_repeated(length + length_check, count), events, _checks(events)])


def _interleaved(widths: npt.NDArray[np.intp], pieces: dict[int, Bytes]) -> bytes:
    """Records of several sizes, given by width of their steps, in the order in which their widths are."""
    sizes = np.zeros(len(widths), np.int64)
    for width, records in pieces.items():
        sizes[widths == width] = records.shape[1]
    starts = np.cumsum(sizes) - sizes
    joined = np.empty(int(sizes.sum()), np.uint8)
    for width, records in pieces.items():
        joined[starts[widths == width, None] + np.arange(records.shape[1])] = records
    return joined.tobytes()


def _checks(data: Bytes) -> Bytes:
    """The masked CRC-32C [n, 4] of each row of data [n, size]."""
    check = np.full(len(data), 0xFFFFFFFF, np.uint32)
    for column in np.ascontiguousarray(data.T):
        check = _TABLE[(check ^ column) & 0xFF] ^ (check >> np.uint32(8))
    check = ~check
    masked = ((check >> np.uint32(15)) | (check << np.uint32(17))) + np.uint32(MASK)
    return _as_bytes(masked.astype("<u4"))


def _seconds(times: Any) -> Bytes:
    return _as_bytes((np.asarray(times, np.int64) / MICROSECONDS).astype("<f8"))


def _floats(values: Any) -> Bytes:
    with np.errstate(over="ignore"):
        return _as_bytes(np.asarray(values).astype("<f4"))


def _as_bytes(numbers: npt.NDArray[Any]) -> Bytes:
    return numbers.view(np.uint8).reshape(len(numbers), -1)


def _repeated(data: bytes, count: int) -> Bytes:
    return np.broadcast_to(np.frombuffer(data, np.uint8), (count, len(data)))


def _varints(numbers: npt.NDArray[np.uint64], width: int) -> Bytes:
    """Varints [n, width] of numbers that take so many bytes."""
    shifted = numbers[:, None] >> (np.arange(width, dtype=np.uint64) * np.uint64(7))
    sevens = (shifted & np.uint64(0x7F)).astype(np.uint8)
    sevens[:, :-1] |= 0x80
    return sevens


def _varint(number: int) -> bytes:
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*pieces, number])


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _table() -> npt.NDArray[np.uint32]:
    """What each byte does to a CRC-32C."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(POLYNOMIAL), table >> np.uint32(1))
    return table


_TABLE: Final = _table()
_LEAST_OF_WIDTH: Final = np.array([1 << 7 * width for width in range(1, 10)], "<u8")
"""From which number on a varint takes 2 bytes, 3 bytes, and so on to 10."""
