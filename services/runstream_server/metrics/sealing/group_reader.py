"""Reads row groups out of bytes of a Parquet object. Imported together with pyarrow."""

import io
from zlib import crc32

import pyarrow as pa
from pyarrow import parquet

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.model import Points
from runstream_server.metrics.sealing.arrow_tables import from_table
from runstream_server.metrics.sealing.model import ByteRange
from runstream_server.metrics.sealing.parquet_format import open_reader

_DAMAGED = (OSError, pa.ArrowException, ValueError, KeyError, IndexError)


class _Window(io.RawIOBase):
    """A file of which only one range of bytes is at hand."""

    def __init__(self, start: int, data: bytes, size_bytes: int) -> None:
        self._start = start
        self._data = memoryview(data)
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        begin = self._position - self._start
        if begin < 0 or size < 0:
            raise ValueError("bytes outside of the row group are read")
        part = bytes(self._data[begin : begin + size])
        self._position += len(part)
        return part


def footer_length(end: bytes) -> int:
    """The length of a footer, with the length and the magic bytes that follow it, of the last bytes of an object."""
    return int.from_bytes(end[-8:-4], "little") + 8


def checked(data: bytes, expected: ByteRange, what: str) -> bytes:
    """Returns `data` if it is what was stored; raises StoredBytesDamaged."""
    if len(data) != expected.length or crc32(data) != expected.crc:
        raise StoredBytesDamaged(f"{what} does not match its checksum")
    return data


def read_footer(data: bytes) -> parquet.FileMetaData:
    """Decodes a footer with the bytes after it; raises StoredBytesDamaged."""
    try:
        return parquet.read_metadata(pa.BufferReader(b"PAR1" + data))
    except _DAMAGED as error:
        raise StoredBytesDamaged(f"a footer cannot be read: {error}") from error


def group_range(metadata: parquet.FileMetaData, number: int) -> tuple[int, int]:
    """The first byte of a row group, and the byte after its last one."""
    group = metadata.row_group(number)
    columns = [group.column(place) for place in range(group.num_columns)]
    starts = [_start(column) for column in columns]
    ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
    return int(min(starts)), int(max(ends))


def _start(column: parquet.ColumnChunkMetaData) -> int:
    if column.has_dictionary_page:
        return int(min(column.dictionary_page_offset, column.data_page_offset))
    return int(column.data_page_offset)


def read_group(metadata: parquet.FileMetaData, number: int, data: bytes) -> pa.Table:
    """Decodes a row group of which `data` are the bytes, without the names and indexes; raises StoredBytesDamaged."""
    try:
        start, end = group_range(metadata, number)
        window = _Window(start, data, end)
        reader = open_reader(pa.PythonFile(window, mode="r"), metadata)
        columns = [name for name in reader.schema_arrow.names if name not in ("metric", "index")]
        return reader.read_row_group(number, columns=columns, use_threads=False)
    except _DAMAGED as error:
        raise StoredBytesDamaged(f"row group {number} cannot be read: {error}") from error


def read_points(group: pa.Table, first_row: int, count: int) -> Points:
    """Takes points out of a row group; raises StoredBytesDamaged."""
    if first_row + count > group.num_rows:
        raise StoredBytesDamaged(f"a row group has {group.num_rows} rows; {first_row + count} are expected")
    try:
        return from_table(group, first_row, count)
    except _DAMAGED as error:
        raise StoredBytesDamaged(str(error)) from error
