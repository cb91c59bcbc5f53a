"""Environments that runs of one machine share."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runstream._runner.environments.cache import environment, list_environments, prune

Make = Callable[[Path], Awaitable[None]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_CACHE_DIR", str(tmp_path))


def maker(made: list[Path]) -> Make:
    async def make(folder: Path) -> None:
        made.append(folder)
        await asyncio.to_thread(folder.mkdir)

    return make


def ignore() -> None:
    pass


async def test_ten_runs_at_once_make_an_environment_once() -> None:
    made: list[Path] = []

    async def use() -> Path:
        async with environment("key", "tiny", maker(made), ignore) as folder:
            return folder

    assert set(await asyncio.gather(*(use() for _ in range(10)))) == set(made)
    assert len(made) == 1


async def test_what_was_not_made_to_its_end_is_made_anew() -> None:
    made: list[Path] = []

    async def fail(folder: Path) -> None:
        await maker(made)(folder)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        async with environment("key", "tiny", fail, ignore):
            pass
    async with environment("key", "tiny", maker(made), ignore) as folder:
        assert made == [folder, folder]


async def test_only_what_nobody_uses_is_removed() -> None:
    made: list[Path] = []
    async with environment("idle", "idle", maker(made), ignore):
        pass
    async with environment("used", "used", maker(made), ignore):
        removed = prune(0)

    assert [each.description for each in removed] == ["idle"]
    assert [each.description for each in list_environments()] == ["used"]
    assert [folder.exists() for folder in made] == [False, True]


async def test_what_was_used_lately_stays() -> None:
    async with environment("key", "tiny", maker([]), ignore):
        pass

    assert not prune(3_600)


async def test_what_was_not_made_to_its_end_is_removed_unless_somebody_makes_it() -> None:
    made: list[Path] = []

    async def fail(folder: Path) -> None:
        await maker(made)(folder)
        assert prune(0) == []
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        async with environment("key", "tiny", fail, ignore):
            pass

    assert [each.folder for each in prune(0)] == made
    assert not made[0].exists()
