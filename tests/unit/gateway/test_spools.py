"""Bytes on disk, and the room they take."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.gateway.mlflow.files.spool import Spool, SpoolRoom

MOST = 4 << 20


@contextmanager
def files_of_up_to(size: int) -> Iterator[None]:
    """Lets files of this process grow no further, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def fill(room: SpoolRoom, size: int) -> None:
    async with Spool(room) as spool:
        await spool.write(b"x" * size)
        await spool.flush()


async def test_a_full_disk_is_told_and_the_room_is_given_back() -> None:
    room = SpoolRoom(MOST)
    with files_of_up_to(1 << 20), pytest.raises(MlflowError) as told:
        await fill(room, MOST)

    assert (told.value.status, told.value.retry_seconds) == (503, 10.0)
    await fill(room, MOST)


async def test_a_spool_takes_no_more_than_there_is_room_for() -> None:
    room = SpoolRoom(MOST)
    async with Spool(room) as spool:
        await spool.write(b"x")
        with pytest.raises(MlflowError) as busy:
            await fill(room, MOST)
        with pytest.raises(MlflowError) as never:
            await fill(room, MOST + 1)

    assert (busy.value.status, never.value.status) == (429, 400)
    await fill(room, MOST)
