"""P7: while the services are away a script logs on to its disk, and everything arrives when they are back."""

from pathlib import Path

import pytest

from runstream._spool.launch import ensure_uplink
from runstream._spool.places import group_folder, spools_in
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests.chaos.checker import read_run
from tests.chaos.scale import SCALE
from tests.chaos.scripts import loggers
from tests.make_runs import make_run
from tests.server_process import ServerProcess
from tests.spools import spools_in as spools_kept_in

COUNT = 50_000 * SCALE.factor


async def test_a_script_logs_to_its_disk_while_the_server_is_away_and_all_of_it_arrives(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ServerProcess(config)
    with spools_kept_in(tmp_path / "spools", monkeypatch) as spools:
        async with server.running(), loggers("workspaces/space/runs/run", server.address, tmp_path) as scripts:
            async with open_channel(server.address) as channel:
                run = await make_run(channel)
            logger = await scripts.start(COUNT)
            await server.kill()
            await logger.script.end()
            spooled = sum(path.stat().st_size for path in spools_in(group_folder(server.address)))
            await server.start()
            spools.kill_uplinks()
            ensure_uplink(group_folder(server.address))
            await spools.carried()
            async with open_channel(server.address) as channel:
                values = (await read_run(channel, run))[logger.metric].doubles
    assert logger.returned == COUNT
    assert spooled > 20 * COUNT // 2
    assert values == [float(number) for number in range(COUNT)]
