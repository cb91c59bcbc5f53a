"""Writes the object of a run into the bucket, and reads it back to be sure of it.

Imported together with pyarrow.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from zlib import crc32

import pyarrow as pa
from pyarrow import parquet

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.latest import LatestOfSeries, later, latest_of_points
from runstream_server.metrics.maintenance.merging import with_steps
from runstream_server.metrics.model import Points, Series, StoredChunk
from runstream_server.metrics.sealing.fingerprint import Fingerprint
from runstream_server.metrics.sealing.group_reader import (
    footer_length,
    group_range,
    read_footer,
    read_group,
    read_points,
)
from runstream_server.metrics.sealing.model import ByteRange, SealedChunk, SealedObject, object_key
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.sealing.run_file import RunFile
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.sealing import Lease

_PART_BYTES = 8 * 1024 * 1024
_ADDED_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Written:
    """What was written, to compare with what is read."""

    fingerprints: dict[int, Fingerprint] = field(default_factory=dict)

    chunks: list[SealedChunk] = field(default_factory=list)
    """Without their overviews."""

    def add(self, series: int, points: Points) -> None:
        """Takes in the next points of a series."""
        self.fingerprints.setdefault(series, Fingerprint()).add(points)


class ObjectWriter:
    """Writes one object; to be used once."""

    def __init__(self, bucket: Bucket, objects: SealedObjectStore, run: RunName, generation: int, lease: Lease) -> None:
        self._bucket = bucket
        self._objects = objects
        self._run = run
        self._generation = generation
        self._lease = lease
        self._key = object_key(run, generation)
        self._file = RunFile()
        self._written = _Written()
        self._overviews: list[SealedChunk] = []
        self._latest: dict[int, LatestOfSeries] = {}

    @property
    def latest(self) -> Iterable[LatestOfSeries]:
        """The latest number of each series among what was written."""
        return self._latest.values()

    async def write(self, values: AsyncIterator[Sequence[StoredChunk]]) -> SealedObject:
        """Writes all values of a run, in order of name and index, notes down where they are, and verifies the object.

        Raises:
            ClaimLostError: Somebody else is at it.
            StoredBytesDamaged: A value is not what was stored, or the object is not what was written.
            BucketUnavailable: The bucket does not answer.
        """
        upload = self._bucket.upload(self._key)
        async for chunks in values:
            async with self._lease.step():
                await asyncio.to_thread(self._add, chunks)
                await self._note_chunks(_ADDED_BYTES)
                if self._file.ready_bytes >= _PART_BYTES:
                    await upload.write(self._file.take_bytes())
        await asyncio.to_thread(self._file.close)
        await self._note_chunks(0)
        end = self._file.take_bytes()
        await upload.write(end)
        await upload.finish()
        return await self._verified(end[-footer_length(end) :])

    def _add(self, chunks: Sequence[StoredChunk]) -> None:
        for chunk in chunks:
            points, start_index = _wanted_points(chunk)
            self._written.add(chunk.series.number, points)
            self._file.add(chunk.series, start_index, points)
            self._note_latest(chunk.series, points, start_index)

    def _note_latest(self, series: Series, points: Points, start_index: int) -> None:
        known = self._latest.get(series.number)
        latest = later(known.latest if known else None, latest_of_points(points, start_index))
        named = (
            known.series if known else replace(series, description="", columns=())
        )  # or all texts would be in memory
        self._latest[series.number] = LatestOfSeries(named, start_index + points.count, latest)

    async def _note_chunks(self, least_bytes: int) -> None:
        """Stores where values are, once that takes at least so many bytes."""
        self._overviews.extend(self._file.take_chunks())
        size = sum(100 + len(chunk.overview or b"") for chunk in self._overviews)
        if self._overviews and size >= least_bytes:
            await self._objects.add_chunks(self._run, self._generation, self._overviews)
            self._written.chunks.extend(replace(chunk, overview=None) for chunk in self._overviews)
            self._overviews = []

    async def _verified(self, footer: bytes) -> SealedObject:
        size_bytes = self._file.size_bytes
        place = ByteRange(size_bytes - len(footer), len(footer), crc32(footer))
        if await self._read(place.start, place.end) != footer:
            raise StoredBytesDamaged(f"{self._key} does not end with what was written to it")
        metadata = await asyncio.to_thread(read_footer, footer)
        groups = [group async for group in self._verified_groups(metadata)]
        await asyncio.to_thread(pa.default_memory_pool().release_unused)
        return SealedObject(self._run, self._generation, size_bytes, place, groups)

    async def _verified_groups(self, metadata: parquet.FileMetaData) -> AsyncIterator[ByteRange]:
        read = _Written()
        for number, chunks in _by_group(self._written.chunks):
            async with self._lease.step():
                start, end = group_range(metadata, number)
                data = await self._read(start, end)
                await asyncio.to_thread(_read_back, read, metadata, number, data, chunks)
            yield ByteRange(start, end - start, crc32(data))
        if read.fingerprints != self._written.fingerprints:
            raise StoredBytesDamaged(f"{self._key} does not hold what was written to it")

    async def _read(self, start: int, end: int) -> bytes:
        async with self._bucket.read(self._key, start=start, end=end) as pieces:
            return b"".join([piece async for piece in pieces])


def _wanted_points(chunk: StoredChunk) -> tuple[Points, int]:
    """The values that are wanted of a chunk, with a step for each, and the index of the first one."""
    points = chunk.data if isinstance(chunk.data, Points) else decode_points(chunk.data)
    points = with_steps(points, chunk.start_index)
    start = max(chunk.wanted_index - chunk.start_index, 0)
    end = min(chunk.wanted_end - chunk.start_index, chunk.count)
    return points.cut(start, end), chunk.start_index + start


def _by_group(chunks: Sequence[SealedChunk]) -> Iterator[tuple[int, Sequence[SealedChunk]]]:
    for number, of_group in groupby(chunks, key=lambda chunk: chunk.row_group):
        yield number, list(of_group)


def _read_back(
    read: _Written, metadata: parquet.FileMetaData, number: int, data: bytes, chunks: Sequence[SealedChunk]
) -> None:
    group = read_group(metadata, number, data)
    if group.num_rows != sum(chunk.count for chunk in chunks):
        raise StoredBytesDamaged(f"row group {number} has {group.num_rows} rows")
    for chunk in chunks:
        read.add(chunk.series, read_points(group, chunk.first_row, chunk.count))
