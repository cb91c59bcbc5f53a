"""Section 8: following the output of a run. The log files come from writers of the tests' own, over real streams."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from runstream import aio
from runstream._channel import Connection, loop
from runstream.api.logs.v1.log_service_pb2 import ReadLogRequest
from runstream.core import Experiment, Run
from runstream.core._log_reading import read_log
from tests.append_clients import log_stream
from tests.fault_proxy import Fate, Fault, fault_proxy

STANDARD_LOG = "user_logs/std_log.txt"
PART_BYTES = 256 * 1024


INTERRUPTED = """
import os, signal, sys
from runstream.core import Run, Workspace
from runstream.exceptions import ExperimentExecutionException

workspace, run, sign = sys.argv[1:]

class Out:
    def write(self, text):
        if sign in text:
            os.kill(os.getpid(), signal.SIGINT)

    def flush(self):
        pass

sys.stdout = Out()
try:
    Run.get(Workspace.get(workspace), run).wait_for_completion(show_output=True)
except ExperimentExecutionException as error:
    sys.__stdout__.write(error.message)
"""


class Shown:
    """Standard output, which does something at the sight of a text."""

    def __init__(self, reactions: dict[str, Callable[[], object]]) -> None:
        self.text = ""
        self._reactions = reactions

    def write(self, text: str) -> int:
        """Notes a text."""
        self.text += text
        for sign in [sign for sign in self._reactions if sign in self.text]:
            self._reactions.pop(sign)()
        return len(text)

    def flush(self) -> None:
        """Does nothing."""


@contextmanager
def shown(**reactions: Callable[[], object]) -> Iterator[Shown]:
    """Takes the place of standard output."""
    before, out = sys.stdout, Shown(reactions)
    sys.stdout = out
    try:
        yield out
    finally:
        sys.stdout = before


class Writers:
    """The writers of log files of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sizes: dict[str, int] = {}

    def write(self, path: str, data: bytes = b"", *, finish: bool = False) -> None:
        """Appends bytes, durable when it returns; `finish`: says that this was all."""
        loop.run(self._write(path, data, finish))

    async def _write(self, path: str, data: bytes, finish: bool) -> None:
        writer, offset = path.replace("/", "-").replace(".", "-"), self._sizes.get(path, 0)
        async with log_stream(self._run._connection().channel, self._run._record.name, path, writer=writer) as stream:
            for start in range(0, len(data), PART_BYTES):
                await stream.send(offset + start, data[start : start + PART_BYTES])
            self._sizes[path] = offset + len(data)
            if finish:
                await stream.finish()
            await stream.acknowledged(self._sizes[path])
            await stream.half_close()


@pytest.fixture
def writers(run: Run) -> Writers:
    """The writers of the run's log files."""
    return Writers(run)


def follow(run: Run, **reactions: Callable[[], object]) -> str:
    """What is shown while a run is waited for; each reaction comes at the sight of the text it is named after."""
    with shown(**reactions) as out:
        run.wait_for_completion(show_output=True)
    return out.text


def test_the_output_is_shown_while_it_grows_until_the_run_has_ended(run: Run, writers: Writers) -> None:
    writers.write(STANDARD_LOG, b"one\n")

    def end() -> None:
        writers.write(STANDARD_LOG, finish=True)
        run.complete()

    text = follow(
        run,
        one=lambda: writers.write(STANDARD_LOG, b"two\xc3"),
        two=lambda: writers.write(STANDARD_LOG, b"\xbc\xff three"),
        three=end,
    )

    heading = f"RunId: {run.id}\nWeb View: {run.get_portal_url()}\n"
    title = f"Streaming {STANDARD_LOG}\n{'=' * (len(STANDARD_LOG) + 10)}\n\n"
    summary = f"\nExecution Summary\n=================\n{heading}\n"
    assert text == f"{heading}\n{title}one\ntwoü\ufffd three\n{summary}"


def test_the_output_goes_on_in_a_later_log_file_under_a_title_of_its_own(run: Run, writers: Writers) -> None:
    build = "azureml-logs/20_image_build_log.txt"
    writers.write(build, b"building\n")

    def end() -> None:
        writers.write(build, b"not shown any more\n")
        run.complete()

    text = follow(run, building=lambda: writers.write(STANDARD_LOG, b"training\n"), training=end)

    assert text.index(f"Streaming {build}") < text.index("building\n\nStreaming user_logs") < text.index("training\n")
    assert "not shown" not in text


def test_a_log_file_that_comes_later_is_noticed(run: Run, writers: Writers) -> None:
    text = follow(run, RunId=lambda: writers.write(STANDARD_LOG, b"at last\n", finish=True), last=run.complete)

    assert "at last\n" in text


def test_a_writer_that_comes_back_is_followed_without_another_title(run: Run, writers: Writers) -> None:
    writers.write(STANDARD_LOG, b"one\n", finish=True)
    text = follow(
        run,
        one=lambda: writers.write(STANDARD_LOG, b"two\n", finish=True),
        two=run.complete,
    )

    assert "one\ntwo\n" in text
    assert text.count("Streaming") == 1


def test_of_several_processes_the_first_is_shown(run: Run, writers: Writers) -> None:
    for number in (2, 1):
        writers.write(f"user_logs/std_log_process_{number:02}.txt", f"process {number}\n".encode(), finish=True)
    run.complete()
    assert "process 1\n" in follow(run)

    writers.write("user_logs/std_log_process_00.txt", b"process 0\n", finish=True)
    writers.write("logs/user_log.txt", b"not this\n", finish=True)
    assert "process 0\n" in (text := follow(run))
    assert text.count("Streaming") == 1


def test_the_following_ends_with_the_run_though_its_writer_does_not(run: Run, writers: Writers) -> None:
    writers.write(STANDARD_LOG, b"working\n")

    assert "working\n" in follow(run, working=run.cancel)


@pytest.mark.parametrize("sign", ["working", "RunId"])
def test_an_interrupt_leaves_the_run_alone_and_says_so(run: Run, writers: Writers, sign: str) -> None:
    writers.write(STANDARD_LOG, b"working\n")
    arguments = [run.experiment.workspace.name, run.id, sign]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *arguments], capture_output=True, text=True, timeout=100, check=True
    )

    assert "the run goes on" in done.stdout
    assert run.get_status() == "Running"


def test_a_process_that_records_what_it_prints_does_not_show_it_to_itself(run: Run, capfd: object) -> None:
    with run.capture_output():
        os.write(1, b"printed\n")
        run.flush()
        run.cancel()
        text = follow(run)
    run.complete()  # has no effect on the status, and nothing is left of what was recorded

    assert "Execution Summary" in text
    assert "printed" not in text


async def test_the_output_is_shown_in_asynchronous_programs_too(exp: Experiment, run: Run, writers: Writers) -> None:
    writers.write(STANDARD_LOG, b"text\n", finish=True)
    workspace = await aio.Workspace.get(exp.workspace.name)
    same = await aio.Run.get(workspace, run.id)
    await same.complete()
    with shown() as out:
        details = await same.wait_for_completion(show_output=True)
    await aio.close()

    assert "text\n" in out.text
    assert details["status"] == "Completed"


def test_logs_are_read_whole_across_broken_connections(run: Run, writers: Writers) -> None:
    text = b"".join(b"line %d\n" % number for number in range(200_000))
    writers.write(STANDARD_LOG, text)

    async def broken() -> bytes:
        fates = iter([Fate(Fault.RESET, 700_000), Fate(Fault.CUT, 500_000)])
        async with fault_proxy([run._workspace._address], lambda: next(fates, None)) as proxy:
            request = ReadLogRequest(run=run._record.name, path=STANDARD_LOG)
            async with aclosing(read_log(lambda: Connection.to(proxy.address), request)) as responses:
                parts = [response.data async for response in responses]
            await Connection.to(proxy.address).close()
            assert proxy.faults == 2
        return b"".join(parts)

    assert loop.run(broken()) == text
    assert run.download_logs("here") == [f"here/{STANDARD_LOG}"]
    assert Path("here", STANDARD_LOG).read_bytes() == text
