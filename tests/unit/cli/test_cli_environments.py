"""The commands about environments of this machine."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from runstream._runner.environments.cache import environment

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_CACHE_DIR", str(tmp_path / "cache"))


def make_environment(description: str) -> None:
    async def make(folder: Path) -> None:
        await asyncio.to_thread(folder.mkdir)

    async def use() -> None:
        async with environment(description, description, make, lambda: None):
            pass

    asyncio.run(use())


def test_environments_are_listed_and_removed(invoke: Invoke) -> None:
    make_environment("tiny")

    (listed,) = json.loads(invoke("environment", "ls").stdout)
    assert listed["description"] == "tiny"
    assert Path(listed["path"]).is_dir()
    assert json.loads(invoke("environment", "prune").stdout) == []
    assert json.loads(invoke("environment", "prune", "--days", "0").stdout) == [listed]
    assert not Path(listed["path"]).exists()
    assert json.loads(invoke("environment", "ls").stdout) == []
