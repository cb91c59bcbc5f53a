"""Scripts, uplinks, the server and Postgres are killed while scripts log: whatever `log` returned for is stored."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runstream._spool.launch import ensure_uplink
from runstream._spool.places import group_folder
from runstream_server.rpc import open_channel
from tests.chaos.conftest import Site
from tests.chaos.nemesis import Faults, Nemesis
from tests.chaos.scale import SCALE
from tests.chaos.scripts import Loggers, loggers
from tests.make_runs import make_run
from tests.spools import Spools, spools_in

SCRIPTS = 2 + SCALE.factor
FAULTS = 3 * SCALE.faults // 4
MOST_LINES = 300
"""Of a script before the next fault."""


def all_faults(site: Site, spools: Spools, scripts: Loggers, choice: random.Random) -> Faults:
    """Kills of each kind, alone and together. What is killed is started again, an uplink by who logs next."""

    async def kill_script() -> None:
        await scripts.kill(choice.choice(scripts.alive))
        await scripts.start()

    async def kill_uplink() -> None:
        await scripts.alive[0].script.beside(spools.kill_uplink())  # who logs starts one where there is none

    async def kill_server() -> None:
        await site.server.kill()
        await site.server.start()

    async def kill_postgres() -> None:
        await site.postgres.end(signal.SIGKILL)
        await site.postgres.start()

    async def kill_all() -> None:
        spools.kill_uplinks()
        await scripts.kill_all()
        await asyncio.gather(site.server.kill(), site.postgres.end(signal.SIGKILL))
        await site.postgres.start()
        await site.server.start()
        for _ in range(SCRIPTS):
            await scripts.start()

    async def kill_uplink_while_server_is_away() -> None:
        await site.server.kill()
        await kill_uplink()
        await site.server.start()

    kinds: list[Callable[[], Awaitable[None]]] = [
        kill_script,
        kill_uplink,
        kill_server,
        kill_postgres,
        kill_all,
        kill_uplink_while_server_is_away,
    ]
    return {kind.__name__: kind for kind in kinds}


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_whatever_log_returned_for_is_stored_once_and_in_order(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    choice = random.Random(seed)
    async with open_channel(site.server.address) as channel:
        run = await make_run(channel)
    with spools_in(tmp_path / "spools", monkeypatch) as spools:
        async with asyncio.timeout(SCALE.seconds), loggers(run, site.server.address, tmp_path) as scripts:
            for _ in range(SCRIPTS):
                await scripts.start()
            nemesis = Nemesis(all_faults(site, spools, scripts, choice), choice, tmp_path / "diary")
            await nemesis.run(
                FAULTS, lambda _: choice.choice(scripts.alive).script.read(choice.randrange(1, MOST_LINES))
            )
            await scripts.kill_all()
            spools.kill_uplinks()
            ensure_uplink(group_folder(site.server.address))
            await spools.carried()
            async with open_channel(site.server.address) as channel:
                await scripts.check(channel)
