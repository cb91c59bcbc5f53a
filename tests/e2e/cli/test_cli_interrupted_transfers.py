"""Ctrl-C while files travel."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runstream_server.config import Config
from tests import stubs
from tests.bucket_proxy import BucketProxy, Trouble, bucket_proxy
from tests.command_line import ProcessCli, make_default_workspace, run_maker
from tests.conftest import serve

CONTENT = os.urandom(17 << 20)
PARTS = 3


@pytest.fixture
async def proxied(config: Config, tmp_path: Path) -> AsyncIterator[tuple[ProcessCli, BucketProxy]]:
    """The command line of somebody whose bucket is behind a proxy, and who has the run `a` and the file `large`."""
    (tmp_path / "large").write_bytes(CONTENT)
    with bucket_proxy(config.bucket.endpoint) as proxy:
        bucket = replace(config.bucket, public_endpoint=proxy.endpoint)
        async with serve(replace(config, bucket=bucket)) as backend:
            history = stubs.run_history(backend.channel)
            await make_default_workspace(history)
            await run_maker(history)("a")
            yield ProcessCli(tmp_path, backend.address), proxy


async def test_an_upload_that_was_interrupted_is_carried_on_by_the_same_command(
    proxied: tuple[ProcessCli, BucketProxy], tmp_path: Path
) -> None:
    cli, proxy = proxied
    proxy.troubles.extend([Trouble.STUCK] * PARTS)
    async with cli.going("artifact", "put", "-r", "a", "large") as putting:
        await asyncio.to_thread(proxy.await_requests, PARTS)
        putting.interrupt()
        ended = await putting.end()
    proxy.released.set()
    await cli("artifact", "put", "-r", "a", "large")
    await cli("artifact", "get", "-r", "a", "-d", "there")

    assert ended.code == 130
    assert ended.err == "Interrupted. The same command goes on with what was not done yet.\n"
    assert (tmp_path / "there" / "large").read_bytes() == CONTENT
