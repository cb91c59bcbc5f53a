"""Reads values of sealed runs from the bucket."""

import asyncio
import importlib
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from runstream_server.metrics.model import Points, Span, StoredChunk
from runstream_server.metrics.sealing.model import ByteRange, SealedChunk, SealedObject, object_key
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.spans import leading_chunks
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket, ObjectMissing, read_on
from runstream_server.sealing.lru import ByteLru

if TYPE_CHECKING:
    from pyarrow import parquet

_FOOTER_CACHE_BYTES = 32 * 1024 * 1024
_GROUP_CACHE_BYTES = 32 * 1024 * 1024
_GROUPS_AT_ONCE = 8
_TRIES = 3

_Place: TypeAlias = tuple[int, int, SealedChunk]
"""The place of a span, the generation of an object, and a chunk of it."""


@dataclass(frozen=True, slots=True)
class _Opened:
    stored: SealedObject
    metadata: "parquet.FileMetaData"


class SealedReader:
    """Reads row groups, whose checksums it compares, and keeps the last footers and row groups, 64 MiB of them."""

    def __init__(self, store: SealedObjectStore, bucket: Bucket) -> None:
        self._store = store
        self._bucket = bucket
        self._objects: ByteLru[tuple[RunName, int], _Opened] = ByteLru(_FOOTER_CACHE_BYTES)
        self._groups: ByteLru[tuple[RunName, int, int], bytes] = ByteLru(_GROUP_CACHE_BYTES)

    async def first_chunks(self, spans: Sequence[Span]) -> Sequence[StoredChunk]:
        """The first chunks of spans, in order and without gap, some MiB of them; none if the first value is not sealed.

        Raises:
            StoredBytesDamaged: The object is not what was stored.
            ObjectMissing: The object is not there.
            BucketUnavailable: The bucket does not answer.
        """
        for _ in range(_TRIES - 1):
            try:
                return await self._first_chunks(spans)
            except ObjectMissing:  # the run may have been sealed again since it was looked up
                continue
        return await self._first_chunks(spans)

    async def _first_chunks(self, spans: Sequence[Span]) -> Sequence[StoredChunk]:
        places = _few_groups(spans, _leading(spans, await self._store.read_chunks(spans)))
        if not places:
            return ()
        wanted = {(spans[place].series.run, generation, chunk.row_group) for place, generation, chunk in places}
        objects = {(run, generation) for run, generation, _ in wanted}
        found = await asyncio.gather(*(self._opened(*of) for of in objects))
        opened = dict(zip(objects, found, strict=True))
        fetched = await asyncio.gather(*(self._group(opened[run, generation], n) for run, generation, n in wanted))
        return await asyncio.to_thread(_decode, spans, places, opened, dict(zip(wanted, fetched, strict=True)))

    async def _opened(self, run: RunName, generation: int) -> _Opened:
        """An object with its footer."""
        if opened := self._objects.get((run, generation)):
            return opened
        stored = await self._store.object(run, generation)
        if stored is None:
            raise ObjectMissing(object_key(run, generation))
        data = await self._bytes(stored.key, stored.footer)
        opened = _Opened(stored, await asyncio.to_thread(_read_footer, stored, data))
        self._objects.put((run, generation), opened, stored.footer.length)
        return opened

    async def _group(self, opened: _Opened, number: int) -> bytes:
        stored = opened.stored
        key = (stored.run, stored.generation, number)
        data = self._groups.get(key)
        if data is None:
            data = await self._bytes(stored.key, stored.groups[number])
            self._groups.put(key, data, len(data))
        return data

    async def _bytes(self, key: str, part: ByteRange) -> bytes:
        async with aclosing(read_on(self._bucket, key, part.start, part.end)) as pieces:
            return b"".join([piece async for piece in pieces])


def _leading(spans: Sequence[Span], places: Sequence[_Place]) -> Sequence[_Place]:
    """Those before the first value that none of them has."""
    return places[: len(leading_chunks(spans, [_stored(spans[each[0]], each[2], b"") for each in places]))]


def _few_groups(spans: Sequence[Span], places: Sequence[_Place]) -> Sequence[_Place]:
    """The first of them, which lie in few row groups: many short series may share each of these with others."""
    groups: set[tuple[RunName, int]] = set()
    for count, (place, _, chunk) in enumerate(places):
        groups.add((spans[place].series.run, chunk.row_group))
        if len(groups) > _GROUPS_AT_ONCE:
            return places[:count]
    return places


def _stored(span: Span, chunk: SealedChunk, data: bytes | Points) -> StoredChunk:
    return StoredChunk(span.series, chunk.start_index, chunk.count, data, span.start_index, span.end_index)


def _arrow() -> Any:
    return importlib.import_module("runstream_server.metrics.sealing.group_reader")


def _read_footer(stored: SealedObject, data: bytes) -> "parquet.FileMetaData":
    reader = _arrow()
    return reader.read_footer(reader.checked(data, stored.footer, f"the footer of {stored.key}"))


def _decode(
    spans: Sequence[Span],
    places: Sequence[_Place],
    opened: dict[tuple[RunName, int], _Opened],
    fetched: dict[tuple[RunName, int, int], bytes],
) -> Sequence[StoredChunk]:
    reader = _arrow()
    groups: dict[tuple[RunName, int, int], Any] = {}
    chunks = []
    for place, generation, chunk in places:
        span = spans[place]
        key = (span.series.run, generation, chunk.row_group)
        if key not in groups:
            of = opened[key[:2]]
            checked = reader.checked(fetched[key], of.stored.groups[chunk.row_group], f"a row group of {of.stored.key}")
            groups[key] = reader.read_group(of.metadata, chunk.row_group, checked)
        points: Points = reader.read_points(groups[key], chunk.first_row, chunk.count)
        chunks.append(_stored(span, chunk, points))
    return chunks
