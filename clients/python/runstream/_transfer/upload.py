"""Uploads files into a run."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from enum import Enum, auto
from pathlib import Path
from typing import Final

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import each, parts
from runstream._transfer.contents import Content, Source, size_of
from runstream._transfer.eager import send_eagerly
from runstream._transfer.http import HttpClient
from runstream._transfer.known import missing_of
from runstream._transfer.large import LargeUpload
from runstream._transfer.looking import all_looked_at
from runstream._transfer.places import check_names
from runstream._transfer.progress import Meter, Silent
from runstream._transfer.settings import DEFAULT, Settings
from runstream._transfer.small import MAX_BYTES, send_small
from runstream._transfer.storing import SmallFiles
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    ArtifactBinding,
    BindArtifactsRequest,
)

MAX_BINDINGS: Final = 1_000
"""As the contract says."""
BOUND_AT_ONCE: Final = 2
LOOKED_AT_ONCE: Final = 4
SOME: Final = 64
"""Files that a thread looks at."""
SILENT: Final = Silent()


async def upload(
    connection: Connection,
    run: str,
    files: Sequence[tuple[str, Source]],
    settings: Settings = DEFAULT,
    meter: Meter = SILENT,
) -> None:
    """Makes local files or bytes artifacts of a run, each under its path.

    Bytes that the workspace has already are not sent. Up to 1,000 files become visible all at once or not at all.
    Uploading the same again changes nothing.

    Raises:
        UserErrorException: A file cannot be read, changed meanwhile, or has a path that cannot be; or the run has
            another artifact of this name: reason `ARTIFACT_EXISTS`.
        ServiceException: The services or the bucket failed; no such run.
    """
    check_names(path for path, _ in files)
    digests = await store(connection, run, [source for _, source in files], settings, meter)
    await bind(connection, run, [(path, digest) for (path, _), digest in zip(files, digests, strict=True)])


async def store(
    connection: Connection, run: str, sources: Sequence[Source], settings: Settings = DEFAULT, meter: Meter = SILENT
) -> list[str]:
    """Brings files or bytes into the workspace of a run, where it does not have them; the digest of each.

    Raises:
        UserErrorException: A file cannot be read, or changed meanwhile.
        ServiceException: The services or the bucket failed; no such workspace.
    """
    workspace = run.partition("/runs/")[0]
    sizes = await in_thread(lambda: [size_of(source) for source in sources])
    places: dict[_Kind, list[int]] = {kind: [] for kind in _Kind}
    for place, (source, size) in enumerate(zip(sources, sizes, strict=True)):
        places[_kind(source, size, settings)].append(place)
    small = [(sources[place], sizes[place]) for place in places[_Kind.SMALL]]
    digests = dict(zip(places[_Kind.SMALL], await SmallFiles(connection, workspace, meter).store(small), strict=True))
    others = [sources[place] for place in places[_Kind.OTHER]]
    found = await _store_others(connection, workspace, others, settings, meter)
    digests.update(zip(places[_Kind.OTHER], found, strict=True))
    huge = {place: sources[place] for place in places[_Kind.HUGE]}
    digests.update(await _store_huge(connection, workspace, huge, settings, meter))
    return [digests[place] for place in range(len(sources))]


class _Kind(Enum):
    """How a file is brought into a workspace."""

    SMALL = auto()
    """Within a message, read once."""
    OTHER = auto()
    """Looked at first, and then sent."""
    HUGE = auto()
    """Sent while it is looked at."""


def _kind(source: Source, size: int, settings: Settings) -> _Kind:
    if 0 < size <= MAX_BYTES:
        return _Kind.SMALL
    return _Kind.HUGE if isinstance(source, Path) and size >= settings.eager_bytes else _Kind.OTHER


async def _store_others(
    connection: Connection, workspace: str, sources: Sequence[Source], settings: Settings, meter: Meter
) -> list[str]:
    contents = await _look_at(sources)
    distinct = {content.digest: content for content in contents}
    missing = await missing_of(connection, workspace, list(distinct))
    await send(connection, workspace, [distinct[digest] for digest in missing], settings, meter)
    return [content.digest for content in contents]


async def _store_huge(
    connection: Connection, workspace: str, files: Mapping[int, Source], settings: Settings, meter: Meter
) -> dict[int, str]:
    digests = {
        file: await send_eagerly(connection, workspace, file, settings, meter)
        for file in dict.fromkeys(files.values())
        if isinstance(file, Path)
    }
    return {place: digests[file] for place, file in files.items() if isinstance(file, Path)}


async def send(
    connection: Connection,
    workspace: str,
    contents: Sequence[Content],
    settings: Settings = DEFAULT,
    meter: Meter = SILENT,
) -> None:
    """Brings distinct contents into a workspace.

    Raises:
        UserErrorException: A file was changed since it was looked at, or cannot be read any more.
        ServiceException: The services or the bucket failed; no such workspace.
    """
    meter.expect(sum(content.size for content in contents))
    small = [content for content in contents if content.size <= MAX_BYTES]
    large = [content for content in contents if content.size > MAX_BYTES]
    room = asyncio.Semaphore(settings.at_once)
    with closing(HttpClient()) as http:

        async def send_large(content: Content) -> None:
            await LargeUpload(connection, workspace, content, http, room).run(settings, meter)

        await send_small(connection, workspace, small, meter)
        await each(send_large, large, settings.at_once)


async def bind(connection: Connection, run: str, files: Sequence[tuple[str, str]]) -> None:
    """Makes stored contents artifacts of a run, by path and digest; up to 1,000 of them all at once or not at all.

    Raises:
        UserErrorException: A path cannot be; or the run has another artifact of this name: reason `ARTIFACT_EXISTS`.
        ServiceException: The services failed; no such run.
    """
    bindings = [ArtifactBinding(path=path, digest=digest) for path, digest in files]

    async def bind_some(some: Sequence[ArtifactBinding]) -> None:
        await connection.call(connection.artifacts.BindArtifacts, BindArtifactsRequest(run=run, bindings=some))

    await each(bind_some, parts(bindings, MAX_BINDINGS), BOUND_AT_ONCE)


async def _look_at(sources: Sequence[Source]) -> list[Content]:
    count = min(SOME, -(-len(sources) // LOOKED_AT_ONCE)) or 1
    return [content for some in await each(all_looked_at, parts(sources, count), LOOKED_AT_ONCE) for content in some]
