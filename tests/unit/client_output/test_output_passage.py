"""Programs that a script started go on printing when nobody records it any more."""

from pathlib import Path

from tests.output_scripts import log, play

PRINTING = """
from runstream._output.tap import MAX_LAUNCHES
printing = '''
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
for line in sys.stdin:
    print("it says", line, end="", flush=True)
print("it ends", flush=True)
open(sys.argv[1], "w").close()
'''
def start():
    return subprocess.Popen([sys.executable, "-c", printing, "ended"], stdin=subprocess.PIPE, text=True)
def say(program, text):
    program.stdin.write(text + "\\n")
    program.stdin.flush()
def kill_all_tees():
    for _ in range(MAX_LAUNCHES):
        guard = next(each for each in threading.enumerate() if each.name == "runstream-tee")
        the_tap()._tees[-1].kill()
        guard.join()
"""


def test_a_program_goes_on_when_the_tee_is_killed_again_and_again(tmp_path: Path) -> None:
    out, err = play(
        tmp_path,
        PRINTING
        + """
record("logs")
program = start()
say(program, "one")
kill_all_tees()
say(program, "two")
program.stdin.close()
print("it ended with", program.wait())
""",
    )

    assert sorted(out.splitlines()) == ["it ended with 0", "it ends", "it says one", "it says two"]
    assert "not recorded any further" in err


def test_it_goes_on_when_the_script_has_ended(tmp_path: Path) -> None:
    out, _ = play(
        tmp_path,
        PRINTING
        + """
record("logs")
program = start()
say(program, "one")
kill_all_tees()
inherited = os.dup(program.stdin.fileno())
os.set_inheritable(inherited, True)
later = "import os, sys; sys.stdin.read(); os.write(int(sys.argv[1]), b'two' + bytes([10]))"
reading, writing = os.pipe()
subprocess.Popen([sys.executable, "-c", later, str(inherited)], stdin=reading, pass_fds=[inherited])
""",
    )

    assert (tmp_path / "ended").exists()
    assert sorted(out.splitlines()) == ["it ends", "it says one", "it says two"]
    assert not log(tmp_path / "logs").count("two")
