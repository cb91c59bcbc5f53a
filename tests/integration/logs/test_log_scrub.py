"""A scrub reads all logs and tells what is damaged."""

from dataclasses import replace

import pytest

from runstream_server.config import Config, MaintenanceConfig
from runstream_server.logs.scrubbing import scrub
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.conftest import Backend
from tests.log_files import PATH, end_run, logs_sealed, write_log
from tests.make_runs import make_run

TEXT = b"some text of a log\n" * 1_000


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


async def test_a_scrub_finds_segments_and_chunks_that_are_damaged(
    backend: Backend, config: Config, postgres: Postgres, bucket: Bucket, run: str
) -> None:
    await write_log(backend, run, TEXT, finish=True)
    lost = await make_run(backend.channel, "lost")
    await write_log(backend, lost, TEXT, finish=True)
    for each in (run, lost):
        await end_run(backend, each)
    await logs_sealed(postgres)
    hot = await make_run(backend.channel, "hot")
    await write_log(backend, hot, TEXT, TEXT)
    assert await scrub(config) == {"files": 3, "size_bytes": 4 * len(TEXT), "damaged_places": 0, "damaged": []}

    keys = [each.key async for each in bucket.list("logs/")]
    damaged, missing = sorted(keys, key=lambda key: key.split("/")[2] == "lost")
    content = bytearray(await bucket.get(damaged))
    content[20] ^= 1
    await bucket.put(damaged, bytes(content))
    await bucket.delete(missing)
    await postgres.execute(
        """
        UPDATE logs.chunk
           SET content = set_byte(content, length(content) - 1, 255 - get_byte(content, length(content) - 1))
         WHERE run = 'hot' AND start_offset > 0
        """
    )
    found = await scrub(config)

    assert (found["files"], found["damaged_places"]) == (3, 3)
    assert [(each["run"], each["path"], each["start_offset"], each["end_offset"]) for each in found["damaged"]] == [
        (hot, PATH, len(TEXT), 2 * len(TEXT)),
        (lost, PATH, 0, len(TEXT)),
        (run, PATH, 0, len(TEXT)),
    ]
    assert missing in found["damaged"][1]["problem"]
