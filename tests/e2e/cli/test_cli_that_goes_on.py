"""Commands that go on until something happens, in processes of their own."""

import asyncio
import json
import os
import pty
from typing import TYPE_CHECKING

from runstream.api.runs.v1 import run_history_service_pb2 as api
from tests.append_clients import log_stream
from tests.command_line import MakeRun, ProcessCli
from tests.conftest import Backend

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub


async def test_a_log_is_followed_while_it_grows_and_the_following_ends_with_the_run(
    cli: ProcessCli, backend: Backend, history: "RunHistoryServiceAsyncStub", make_run: MakeRun
) -> None:
    run = await make_run("a")
    async with (
        log_stream(backend.channel, run.name, "user_logs/std_log.txt") as stream,
        cli.going("run", "monitor-logs", "-r", "a") as following,
    ):
        await stream.send(0, b"epoch 1\n")
        first = await following.line()
        await stream.send(8, "épôch 2\n".encode())
        second = await following.line()
        await stream.finish()
        await history.CompleteRun(api.CompleteRunRequest(name=run.name))
        ended = await following.end()

    assert (first, second) == ("epoch 1\n", "épôch 2\n")
    assert (ended.code, ended.out) == (0, "")
    assert "Streaming user_logs/std_log.txt" in ended.err
    assert "Execution Summary" in ended.err


async def test_an_interrupt_ends_the_following_and_says_that_the_run_goes_on(
    cli: ProcessCli, backend: Backend, history: "RunHistoryServiceAsyncStub", make_run: MakeRun
) -> None:
    run = await make_run("a")
    async with (
        log_stream(backend.channel, run.name, "logs/user_log.txt") as stream,
        cli.going("run", "monitor-logs", "-r", "a", "--log-path", "logs/user_log.txt") as following,
    ):
        await stream.send(0, b"working\n")
        first = await following.line()
        following.interrupt()
        ended = await following.end()

    present = await history.GetRun(api.GetRunRequest(name=run.name))
    assert first == "working\n"
    assert ended.code == 130
    assert "goes on" in ended.err
    assert "Traceback" not in ended.err
    assert not present.run.HasField("end_time")


async def test_a_log_is_followed_from_its_last_lines_until_it_is_interrupted(
    cli: ProcessCli, backend: Backend, make_run: MakeRun
) -> None:
    run = await make_run("a")
    async with log_stream(backend.channel, run.name, "user_logs/std_log.txt") as stream:
        await stream.send(0, b"one\ntwo\n")
        await stream.acknowledged(8)
        async with cli.going("log", "cat", "-r", "a", "--tail", "1", "-f") as following:
            lines = [await following.line()]
            await stream.send(8, b"\xff 50 %\r100 %\n")
            await stream.acknowledged(21)
            lines.append(await following.line())
            following.interrupt()
            ended = await following.end()

    assert lines == ["two\n", "\udcff 50 %\r100 %\n"]
    assert ended.code == 130
    assert "goes on" in ended.err
    assert "Traceback" not in ended.err


async def test_a_watch_writes_a_line_for_each_new_state_until_it_is_interrupted(
    cli: ProcessCli, make_run: MakeRun, history: "RunHistoryServiceAsyncStub"
) -> None:
    run = await make_run("present")

    async with cli.going("run", "watch", "-o", "json", "--query", "[run_id, status]") as watching:
        lines = [await watching.line()]
        await history.CompleteRun(api.CompleteRunRequest(name=run.name))
        lines.append(await watching.line())
        await make_run("new")
        lines.append(await watching.line())
        watching.interrupt()
        ended = await watching.end()

    states = [["present", "Running"], ["present", "Completed"], ["new", "Running"]]
    assert [json.loads(line) for line in lines] == states
    assert (ended.code, ended.err) == (130, "")


async def test_commands_work_as_processes_of_their_own(cli: ProcessCli, make_run: MakeRun) -> None:
    await make_run("both", tags={"quality": "fantastic run"}, properties={"author": "azureml-user"})

    listed, shown, missing = await asyncio.gather(
        cli("run", "list", "[?properties.author=='azureml-user' && tags.quality=='fantastic run'].run_id"),
        cli("run", "show", "-r", "both", "-o", "yaml"),
        cli("run", "show", "-r", "none", code=3),
    )

    assert listed.result == ["both"]
    assert "run_id: both" in shown.out
    assert missing.err.count("\n") == 1


async def test_on_a_terminal_results_are_tables(cli: ProcessCli, make_run: MakeRun) -> None:
    await make_run("seen", display_name="by a person")
    master, slave = pty.openpty()
    cli.environment["TERM"] = "dumb"  # 80 columns, no colours

    with os.fdopen(master, "rb", buffering=0) as screen:
        async with cli.going("run", "list", stdout=slave) as command:
            os.close(slave)
            await command.end()
        header, line = (await asyncio.to_thread(screen.read, 4096)).decode().replace("\r", "").splitlines()

    assert header.split() == ["Run", "Name", "Experiment", "Status", "Started", "Took"]
    assert line.split()[:6] == ["seen", "by", "a", "person", "digits", "Running"]
