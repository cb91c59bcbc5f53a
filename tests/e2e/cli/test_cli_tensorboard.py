"""`run monitor-tensorboard` as a process, with a real TensorBoard."""

import asyncio
import json

from runstream.tensorboard._events import first_record, scalar_records
from tests.append_clients import log_stream
from tests.board_pages import ask, curve
from tests.command_line import MakeRun, ProcessCli
from tests.conditions import until_answered
from tests.conftest import Backend

EVENTS = first_record(0) + scalar_records("loss", [1, 2], [0, 0], [0.5, 0.25])


async def test_a_run_is_shown_in_tensorboard_until_an_interrupt(
    cli: ProcessCli, backend: Backend, make_run: MakeRun
) -> None:
    run = await make_run("a")
    async with (
        log_stream(backend.channel, run.name, "logs/events.out.tfevents.1") as stream,
        cli.going("run", "monitor-tensorboard", "-r", "a", "--local-directory", "boards", "--port", "0") as board,
    ):
        url = json.loads(await board.line())

        async def is_shown() -> bool:
            return await asyncio.to_thread(curve, url, "a", "loss") == [(1, 0.5), (2, 0.25)]

        async def is_away() -> bool:
            return await asyncio.to_thread(ask, url, "environment") is None

        await stream.send(0, EVENTS)
        await until_answered(is_shown)
        board.interrupt()
        ended = await board.end()
        await until_answered(is_away)

    assert ended.code == 130
    assert "Ctrl-C ends TensorBoard, not the run." in ended.err
    assert (cli.folder / "boards" / "a" / "events.out.tfevents.1").read_bytes() == EVENTS
