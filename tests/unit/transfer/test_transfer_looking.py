"""Looking at files that are to be uploaded."""

import asyncio
import hashlib
import threading
from pathlib import Path

import pytest

from runstream._transfer.contents import look_at, read, size_of
from runstream._transfer.looking import looked_at
from runstream.exceptions import UserErrorException
from tests.conditions import begun

DEADLINE_SECONDS = 30.0
HUGE_BYTES = 1 << 40


async def test_a_file_that_nobody_waits_for_any_more_is_not_hashed_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(HUGE_BYTES)
    before = set(threading.enumerate())
    looking = await begun(looked_at(file))
    (thread,) = set(threading.enumerate()) - before

    looking.cancel()
    await asyncio.wait([looking])
    await asyncio.to_thread(thread.join, DEADLINE_SECONDS)

    assert not thread.is_alive()


def test_a_small_file_is_kept_as_it_was_read(tmp_path: Path) -> None:
    file = tmp_path / "small"
    file.write_bytes(b"as it was")
    content = read(file, size_of(file))
    file.write_bytes(b"other")
    with content.open() as body:
        assert body.read(100) == b"as it was"
    assert content.digest == hashlib.sha256(b"as it was").hexdigest()


def test_of_a_file_that_grows_or_shrinks_meanwhile_a_beginning_is_read(tmp_path: Path) -> None:
    file = tmp_path / "small"
    file.write_bytes(b"grown")
    assert read(file, 3) == read(b"gro", 3)._replace(source=file)
    assert read(file, 30) == read(b"grown", 5)._replace(source=file)


def test_what_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="cannot be read"):
        size_of(tmp_path / "missing")
    with pytest.raises(UserErrorException, match="cannot be read"):
        read(tmp_path, 1)
    with pytest.raises(UserErrorException, match="cannot be read"):
        look_at(tmp_path)
