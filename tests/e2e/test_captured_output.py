"""The whole path, from `print` to the database, while servers and uplinks are killed."""

import asyncio
from pathlib import Path

import pytest

from runstream.api.logs.v1.log_service_pb2 import TailLogRequest
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests import stubs
from tests.make_runs import make_run
from tests.server_process import ServerProcess
from tests.spools import SECONDS, log_text, script, spools_in

PRINTING = """
import sys
from runstream.core import Run, Workspace
workspace, run = sys.argv[1:]
Run.get(Workspace.get(workspace), run).capture_output()
for number, _ in enumerate(sys.stdin):
    print(number)
"""
LOG = "user_logs/std_log.txt"


async def has_stored(address: str, run: str, line: int) -> None:
    text = b""
    async with asyncio.timeout(SECONDS), open_channel(address) as channel:
        async for response in stubs.logs(channel).TailLog(TailLogRequest(run=run, path=LOG)):
            text += response.data
            if f"\n{line}\n".encode() in text:
                return


async def test_killed_servers_uplinks_and_scripts_lose_and_double_no_line(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ServerProcess(config)
    await server.start()
    async with open_channel(server.address) as channel:
        run = await make_run(channel)
    monkeypatch.setenv("RUNSTREAM_ADDRESS", server.address)
    _, workspace, _, run_id = run.split("/")
    with spools_in(tmp_path / "spools", monkeypatch) as spools:
        async with script(PRINTING, workspace, run_id) as printing:
            await printing.step()
            await printing.stepping(has_stored(server.address, run, 100))
            await server.kill()
            await spools.kill_uplink()
            await printing.step(1_000)
            await server.start()
            await printing.kill_amid(10_000, after=100)
        await spools.carried()

    async with open_channel(server.address) as channel:
        lines = (await log_text(channel, run, LOG)).decode().splitlines()
    assert lines == [str(number) for number in range(len(lines))]
    assert len(lines) > int(printing.last_line)
    await server.kill()
