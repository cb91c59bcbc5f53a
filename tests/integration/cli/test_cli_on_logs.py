"""Log files of runs, as the command line shows them."""

import asyncio
import re

from tests.command_line import Cli, MakeRun
from tests.conftest import Backend
from tests.log_files import write_whole_log

STANDARD_LOG = "user_logs/std_log.txt"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


async def test_log_files_are_listed(cli: Cli, backend: Backend, make_run: MakeRun) -> None:
    run = await make_run("a")
    await make_run("empty")
    await write_whole_log(backend, run.name, STANDARD_LOG, b"one\n", b"two\n")

    listed, table, empty, missing = await asyncio.gather(
        cli("log", "ls", "-r", "a", "--query", "[].[path, size_bytes, is_finished]"),
        cli("log", "ls", "-r", "a", "-o", "table"),
        cli("log", "ls", "-r", "empty"),
        cli("log", "ls", "-r", "none", code=3),
    )

    assert listed.result == [[STANDARD_LOG, 8, True]]
    assert table.out.splitlines()[0].split() == ["Path", "Size", "Begun", "Written", "Complete"]
    assert (empty.result, "has no logs" in empty.err) == ([], True)
    assert missing.out == ""


async def test_a_log_is_written_byte_for_byte_or_in_part(cli: Cli, backend: Backend, make_run: MakeRun) -> None:
    run = await make_run("a")
    await write_whole_log(backend, run.name, STANDARD_LOG, *(f"line {number}\n".encode() for number in range(1, 101)))
    await write_whole_log(backend, run.name, "logs/b.txt", "50 %\r100 %\rü".encode())

    whole, other, some, first, last, one, follow = await asyncio.gather(
        cli("log", "cat", "-r", "a"),
        cli("log", "cat", "-r", "a", "logs/b.txt"),
        cli("log", "cat", "-r", "a", "--lines", "9:11"),
        cli("log", "cat", "-r", "a", "--lines", ":2"),
        cli("log", "cat", "-r", "a", "--tail", "2"),
        cli("log", "cat", "-r", "a", "azureml-logs/70_driver_log.txt", "--lines", "50"),
        cli("log", "cat", "-r", "a", "--tail", "1", "--follow"),
    )

    assert whole.out == "".join(f"line {number}\n" for number in range(1, 101))
    assert other.out == "50 %\r100 %\rü"
    assert (some.out, first.out) == ("line 9\nline 10\nline 11\n", "line 1\nline 2\n")
    assert (last.out, one.out, follow.out) == ("line 99\nline 100\n", "line 50\n", "line 100\n")


async def test_lines_are_shown_with_their_times(cli: Cli, backend: Backend, make_run: MakeRun) -> None:
    run = await make_run("a")
    await write_whole_log(backend, run.name, STANDARD_LOG, b"one\ntw", b"o\nbar\rbar", b"\nend")

    shown, followed = await asyncio.gather(
        cli("log", "cat", "-r", "a", "--timestamps"), cli("log", "cat", "-r", "a", "--timestamps", "-f")
    )

    assert TIME.sub("@", shown.out) == TIME.sub("@", followed.out) == "@one\n@two\n@bar\rbar\n@end"


async def test_what_is_not_there_or_makes_no_sense_is_told(cli: Cli, make_run: MakeRun) -> None:
    await make_run("a")

    nothing, unknown, *wrong = await asyncio.gather(
        cli("log", "cat", "-r", "a", code=3),
        cli("log", "cat", "-r", "a", "logs/none.txt", code=3),
        cli("log", "cat", "-r", "a", "--lines", "5:4", code=2),
        cli("log", "cat", "-r", "a", "--lines", "x", code=2),
        cli("log", "cat", "-r", "a", "--lines", "1", "--tail", "1", code=2),
        cli("log", "search", "x", "-r", "a", "--filter", "status = Running", code=2),
        cli("log", "search", "--regex", "(", code=2),
        cli("log", "search", "", code=2),
    )

    assert "runstream log ls" in nothing.err
    assert "logs/none.txt" in unknown.err
    assert all(outcome.out == "" for outcome in wrong)


async def test_a_log_that_is_not_there_is_told_with_those_that_are(
    cli: Cli, backend: Backend, make_run: MakeRun
) -> None:
    run = await make_run("a")
    await make_run("empty")
    await write_whole_log(backend, run.name, STANDARD_LOG, b"one\n")
    await write_whole_log(backend, run.name, "logs/b.txt", b"two\n")

    unknown, empty = await asyncio.gather(
        cli("log", "cat", "-r", "a", "nope.txt", code=3), cli("log", "cat", "-r", "empty", "nope.txt", code=3)
    )

    assert f"Run a has no log nope.txt. It has logs/b.txt, {STANDARD_LOG}." in " ".join(unknown.err.split())
    assert "Run empty has no log nope.txt. It has no logs." in " ".join(empty.err.split())


async def test_lines_are_found_in_one_run_and_in_those_of_a_filter(
    cli: Cli, backend: Backend, make_run: MakeRun
) -> None:
    a, b = await make_run("a"), await make_run("b", experiment="other")
    await write_whole_log(backend, a.name, STANDARD_LOG, b"start\nloss 1\nLoss NaN\nend\n")
    await write_whole_log(backend, a.name, "logs/b.txt", b"loss nan\n")
    await write_whole_log(backend, b.name, STANDARD_LOG, b"loss 0.5\n")

    literal, cased, regex, path, experiment, chosen, around, some, none = await asyncio.gather(
        cli("log", "search", "loss", "--query", "[].[run_id, path, line, text]"),
        cli("log", "search", "LOSS", "-i", "-r", "a", "--query", "[].text"),
        cli("log", "search", r"loss \d", "--regex", "--query", "[].text"),
        cli("log", "search", "nan", "--log-path", "logs/b.txt", "--query", "[].run_id"),
        cli("log", "search", "loss", "-e", "other", "--query", "[].run_id"),
        cli("log", "search", "loss", "--filter", 'run_id = "b"', "--query", "[].run_id"),
        cli("log", "search", "NaN", "-r", "a", "-C", "1", "-A", "0", "--query", "[0].[before[].text, after]"),
        cli("log", "search", "loss", "--max", "1", "--query", "length(@)"),
        cli("log", "search", "nothing"),
    )

    assert sorted(literal.result) == [
        ["a", "logs/b.txt", 1, "loss nan"],
        ["a", STANDARD_LOG, 2, "loss 1"],
        ["b", STANDARD_LOG, 1, "loss 0.5"],
    ]
    assert cased.result == ["loss nan", "loss 1", "Loss NaN"]
    assert sorted(regex.result) == ["loss 0.5", "loss 1"]
    assert (path.result, experiment.result, chosen.result) == (["a"], ["b"], ["b"])
    assert around.result == [["loss 1"], []]
    assert (some.result, "first 1 matches" in some.err) == (1, True)
    assert (none.result, none.err) == ([], "No line matches.\n")


async def test_people_see_matches_under_their_files_with_the_lines_around(
    cli: Cli, backend: Backend, make_run: MakeRun
) -> None:
    run = await make_run("a")
    lines = [b"one", b"two @", b"three", b"@ four", b"five", b"six", b"seven", b"eight", b"\x1b[1m@\xff nine"]
    await write_whole_log(backend, run.name, STANDARD_LOG, b"\n".join(lines))
    await write_whole_log(backend, run.name, "logs/long.txt", b"a" * 100_000 + b"@" + b"b" * 100_000)

    shown = await cli("log", "search", "@", "-C", "1", "-o", "table")

    long, *others = shown.out.splitlines()[1:3]
    assert re.fullmatch(r"1:\.\.\.a+@b*\.\.\.", long)
    assert others == [""]
    assert shown.out.splitlines()[3:] == [
        f"a {STANDARD_LOG}",
        *("1-one", "2:two @", "3-three", "4:@ four", "5-five", "--", "8-eight", "9:\\x1b[1m@\ufffd nine"),
    ]
