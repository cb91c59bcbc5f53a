"""The whole path, from `log()` to the database, while servers are killed."""

import asyncio
from pathlib import Path

import pytest

from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests.make_runs import make_run
from tests.server_process import ServerProcess
from tests.spools import has_stored, log_text, script, spools_in, values

LOGGING = """
import sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:3])
spool.follow_file("user_logs/std_log.txt", sys.argv[3])
with open(sys.argv[3], "w", buffering=1) as log:
    for number, _ in enumerate(sys.stdin):
        log.write(f"line {number}\\n")
        spool.log("loss", float(number))
        print(number)
"""
ROUNDS = 3
LOG = "user_logs/std_log.txt"


async def until_stored(address: str, run: str, count: int) -> None:
    async with open_channel(address) as channel:
        await has_stored(channel, run, "loss", count)


async def test_killed_servers_and_uplinks_lose_and_double_nothing(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ServerProcess(config)
    await server.start()
    async with open_channel(server.address) as channel:
        run = await make_run(channel)
    file = tmp_path / "out.txt"
    with spools_in(tmp_path / "spools", monkeypatch) as spools:
        async with script(LOGGING, run, server.address, str(file)) as logging:
            for number in range(ROUNDS):
                await logging.stepping(until_stored(server.address, run, 500 * number + 1))
                await server.kill()
                if number == 1:
                    await spools.kill_uplink()
                await logging.step(500)
                await server.start()
            await logging.kill_amid(10_000, after=100)
        await spools.carried()

    async with open_channel(server.address) as channel:
        stored = await values(channel, run, "loss")
        assert stored == [float(number) for number in range(len(stored))]
        assert len(stored) > int(logging.last_line)
        assert await log_text(channel, run, LOG) == await asyncio.to_thread(file.read_bytes)
    await server.kill()
