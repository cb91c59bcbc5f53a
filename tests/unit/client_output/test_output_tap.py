"""What a process prints is recorded and still shown. Each test is a script of its own, which prints for real."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.output_scripts import START, log, play


def test_python_native_code_and_started_programs_are_recorded_and_shown(tmp_path: Path) -> None:
    out, err = play(
        tmp_path,
        """
record("logs")
print("python")
os.write(1, b"native\\n")
subprocess.run(["echo", "program"])
print("error", file=sys.stderr)
sys.stderr.buffer.write(b"\\xff\\r\\n")
sys.stderr.buffer.flush()
""",
    )

    shown = ["python", "native", "program"]
    assert out.splitlines() == shown
    assert err == "error\n\\xff\n"
    recorded = (tmp_path / "logs" / "std_log.txt").read_bytes()
    assert [line.decode() for line in recorded.splitlines() if line.decode("latin-1") in shown] == shown
    assert b"error\n\xff\r\n" in recorded


def test_both_streams_may_print_at_once(tmp_path: Path) -> None:
    out, err = play(
        tmp_path,
        """
record("logs")
for number in range(20_000):  # more than a pipe holds
    print("out", number)
    print("err", number, file=sys.stderr)
""",
    )

    lines = log(tmp_path / "logs").splitlines()
    assert [line for line in lines if line.startswith("out")] == out.splitlines()
    assert [line for line in lines if line.startswith("err")] == err.splitlines()
    assert len(lines) == 40_000


def test_bytes_are_recorded_as_they_are(tmp_path: Path) -> None:
    play(
        tmp_path,
        """
record("logs")
os.write(1, b"\\xff\\x00\\x1b[1mbar 10%\\rbar 20%\\r")
sys.stdout.buffer.write(b"x" * 10_485_760 + b"\\n")
""",
    )

    recorded = (tmp_path / "logs" / "std_log.txt").read_bytes()
    assert recorded == b"\xff\x00\x1b[1mbar 10%\rbar 20%\r" + b"x" * 10_485_760 + b"\n"


def test_everything_is_as_it_was_after_a_recording(tmp_path: Path) -> None:
    out, _ = play(
        tmp_path,
        """
before = [os.fstat(1), os.fstat(2)]
count = len(os.listdir("/proc/self/fd"))
print("before")
record("logs")
print("inside")
leave("logs")
print("after")
[thread.join(60) for thread in threading.enumerate() if thread.name == "runstream-tee"]
assert all(map(os.path.samestat, before, [os.fstat(1), os.fstat(2)]))
assert len(os.listdir("/proc/self/fd")) == count
assert not sys.stdout.line_buffering
tee().wait(60)
""",
    )

    assert out.splitlines() == ["before", "inside", "after"]
    assert log(tmp_path / "logs") == "inside\n"


def test_a_recording_within_another_has_what_was_printed_meanwhile(tmp_path: Path) -> None:
    play(
        tmp_path,
        """
record("outer")
print("one")
record("inner")
print("two")
leave("outer")
print("three")
leave("inner")
print("four")
""",
    )

    assert log(tmp_path / "outer") == "one\ntwo\n"
    assert log(tmp_path / "inner") == "two\nthree\n"


def test_what_a_killed_process_had_printed_is_recorded(tmp_path: Path) -> None:
    out, _ = play(
        tmp_path,
        """
record("logs")
for number in range(50_000):
    print("line", number)
os.kill(os.getpid(), signal.SIGKILL)
""",
        code_out=-signal.SIGKILL,
    )  # returns when the tee has closed the pipe as well

    expected = "".join(f"line {number}\n" for number in range(50_000))
    assert log(tmp_path / "logs") == out == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    play(
        tmp_path,
        f"""
os.setpgid(0, 0)
record("logs")
print("said")
signal.signal({number:d}, signal.SIG_DFL)
os.killpg(0, {number:d})
""",
        code_out=-number,
    )

    assert log(tmp_path / "logs") == "said\n"


def test_another_tee_goes_on_where_one_was_killed(tmp_path: Path) -> None:
    out, err = play(
        tmp_path,
        """
record("logs")
print("one")
the_tap().sync()
tee().kill()
for number in range(20_000):  # more than a pipe holds
    print("line", number)
""",
    )

    expected = "one\n" + "".join(f"line {number}\n" for number in range(20_000))
    assert out == log(tmp_path / "logs") == expected
    assert err == ""


def test_a_program_goes_on_when_no_tee_lives(tmp_path: Path) -> None:
    out, err = play(
        tmp_path,
        """
record("logs")
print("one")
the_tap().sync()
the_tap()._launches = 100
tee().kill()
for number in range(20_000):
    print("line", number)
""",
    )

    assert sorted(out.splitlines()) == sorted(["one", *(f"line {number}" for number in range(20_000))])
    assert "not recorded any further" in err


def test_a_forked_process_has_a_file_of_its_own_once_it_prints(tmp_path: Path) -> None:
    out, _ = play(
        tmp_path,
        """
logging.basicConfig(format="%(message)s", stream=sys.stdout)
record("logs")
def work():
    print("python")
    os.write(2, b"native\\n")
    logging.error("logged")
    subprocess.run(["echo", "program"])
    the_tap().sync()
    forked(lambda: (print("below"), the_tap().sync()))
print("parent")
forked(work)
forked(lambda: None)
the_tap().sync()
forked(lambda: print("later"))
""",
    )

    assert log(tmp_path / "logs") == "parent\n"
    assert sorted(log(tmp_path / "logs", "std_log_process_01.txt").splitlines()) == [
        *("later", "logged", "native", "program", "python")
    ]
    assert log(tmp_path / "logs", "std_log_process_02.txt") == "below\n"
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        *("std_log.txt", "std_log_process_01.txt", "std_log_process_02.txt")
    ]
    assert sorted(out.splitlines()) == ["below", "later", "logged", "parent", "program", "python"]


def test_forked_processes_of_a_rank_have_numbers_beyond_all_ranks(tmp_path: Path) -> None:
    play(
        tmp_path,
        """
record("logs", first=3, step=8)
print("rank")
forked(lambda: print("worker"))
""",
    )

    assert log(tmp_path / "logs", "std_log_process_03.txt") == "rank\n"
    assert log(tmp_path / "logs", "std_log_process_11.txt") == "worker\n"


def test_a_forked_process_goes_on_printing_when_its_tee_is_killed(tmp_path: Path) -> None:
    out, _ = play(
        tmp_path,
        """
record("logs")
def work():
    os.kill(tee_id, signal.SIGKILL)
    for number in range(20_000):
        print("line", number)
tee_id = tee().pid
forked(work)
""",
    )

    assert sorted(out.splitlines()) == sorted(f"line {number}" for number in range(20_000))


def test_a_recording_of_a_forked_process_has_nothing_of_its_parent(tmp_path: Path) -> None:
    play(
        tmp_path,
        """
record("logs")
def work():
    record("own")
    print("child")
    leave("own")
    print("child again")
print("parent")
forked(work)
print("parent again")
""",
    )

    assert log(tmp_path / "own") == "child\n"
    assert log(tmp_path / "logs") == "parent\nparent again\n"
    assert log(tmp_path / "logs", "std_log_process_01.txt") == "child\nchild again\n"


def test_streams_that_do_not_print_to_the_system_are_recorded(tmp_path: Path) -> None:
    out, _ = play(
        tmp_path,
        """
class Cell(io.StringIO):
    pass
cell = sys.stdout = Cell()
logging.basicConfig(format="%(message)s", stream=cell)
record("logs")
print("shown in a cell")
logging.error("logged into a cell")
forked(lambda: print("of a child"))
os.write(1, b"native\\n")
leave("logs")
print("after")
assert "write" not in vars(cell)
assert cell.getvalue() == "shown in a cell\\nlogged into a cell\\nafter\\n"
""",
    )

    assert sorted(log(tmp_path / "logs").splitlines()) == ["logged into a cell", "native", "shown in a cell"]
    assert log(tmp_path / "logs", "std_log_process_01.txt") == "of a child\n"
    assert out == "native\n"


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_a_program_without_standard_streams_is_left_alone(tmp_path: Path, closed: tuple[int, ...]) -> None:
    play(
        tmp_path,
        f"""
import runstream._output
for number in {closed}:
    os.close(number)
sys.stdout = sys.stderr = None
record("logs")
subprocess.run(["true"])
leave("logs")
os._exit(0)
""",
    )


def test_what_is_opened_in_the_place_of_a_closed_stream_is_left_alone(tmp_path: Path) -> None:
    code = """
os.close(1)
waiting, waking = os.pipe()
assert waiting == 1
record("logs")
print("told", file=sys.stderr)
os.write(waking, b"still the pipe")
text = os.read(waiting, 100).decode()
leave("logs")
print(text, file=sys.stderr)
"""
    _, err = play(tmp_path, code)

    assert err == "told\nstill the pipe\n"
    assert (tmp_path / "logs" / "std_log.txt").read_text() == "told\n"


def test_what_there_is_no_room_for_is_counted_where_it_is_missing(tmp_path: Path) -> None:
    play(
        tmp_path,
        """
record("logs", limit=1024 * 1024)
for number in range(40):
    sys.stdout.write("x" * 65_535 + "\\n")
leave("logs")
""",
    )

    text = log(tmp_path / "logs")
    assert len(text) < 2 * 1024 * 1024
    assert "bytes that were printed here are not recorded: the limit of the spool is reached" in text


def test_a_terminal_stays_one(tmp_path: Path) -> None:
    code = """
record("logs")
print(sys.stdout.isatty(), sys.stderr.isatty(), *os.get_terminal_size(1))
print("a\\rb", file=sys.stderr)
"""
    master, slave = pty.openpty()
    os.set_inheritable(slave, True)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    with subprocess.Popen([sys.executable, "-c", START + code], cwd=tmp_path, stdout=slave, stderr=slave) as script:
        os.close(slave)
        shown = b""
        while True:
            try:
                shown += os.read(master, 4096)
            except OSError:  # nobody has it open any more
                break
        assert script.wait() == 0
    os.close(master)

    assert log(tmp_path / "logs") == "True True 77 33\na\rb\n"
    assert shown == b"True True 77 33\r\na\rb\r\n"
