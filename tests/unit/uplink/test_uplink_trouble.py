"""What the uplink cannot carry now is carried later."""

import asyncio
from pathlib import Path

from runstream._spool.inventory import remove
from runstream._spool.writer import SpoolWriter
from runstream._uplink.process import Pauses, Uplink
from tests.spools import until


async def test_a_spool_that_an_uplink_fails_on_is_left_to_the_next(
    tmp_path: Path,
) -> None:
    writer = SpoolWriter(tmp_path, "workspaces/space/runs/run", "127.0.0.1:9")
    writer.abandon()
    writer.path.unlink()
    writer.path.mkdir()
    uplink = Uplink(tmp_path, pauses=Pauses(linger_seconds=0.0, retry_seconds=(0.0, 0.0, 0.0)))

    await uplink.run()

    assert not uplink.has_work()
    assert Uplink(tmp_path).has_work()


async def test_a_spool_that_somebody_removes_while_the_services_are_away_is_given_up(
    tmp_path: Path,
) -> None:
    writers = [SpoolWriter(tmp_path, "workspaces/space/runs/run", "127.0.0.1:9") for _ in range(2)]
    for writer in writers:
        writer.add_double("loss", 1.0, 1, None)
        writer.abandon()
    uplink = Uplink(tmp_path, pauses=Pauses(linger_seconds=0.0, look_seconds=0.05))
    running = asyncio.create_task(uplink.run())
    await until(lambda: len(uplink._carriers) == 2)

    remove(writers[0].path)
    await until(lambda: len(uplink._carriers) == 1)
    assert not running.done()
    remove(writers[1].path)
    await asyncio.wait_for(running, 30.0)
