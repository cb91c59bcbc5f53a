"""Scripts that are killed, interrupted or exit: what `log` returned for is in their spools."""

import json
import subprocess
from typing import Any

import pytest

from runstream._spool.leaving import EXIT_VARIABLE
from runstream._spool.places import spools_in
from runstream._spool.reader import read_header
from tests.spool_scenes import Scene, read

KILL = """
import json, mmap, random, signal, struct
random.seed(int(sys.argv[1]))
returned = mmap.mmap(-1, 8)
outcomes = []
parent = os.getpid()
for kill in range(int(sys.argv[2])):
    returned[:] = bytes(8)
    child = os.fork()
    if not child:
        for number in range(1, 10**9):
            spool.log(f"kill {kill}", float(number) if number % 3 else number, step=None if number % 5 else number)
            returned[:] = struct.pack("<q", number)
            if os.getppid() != parent: os._exit(1)  # the test gave up
    target = random.randrange(1, 400)
    while struct.unpack("<q", returned[:])[0] < target:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    outcomes.append(struct.unpack("<q", returned[:])[0])
print(json.dumps(outcomes))
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_script_loses_nothing_that_log_returned_for(scene: Scene, seed: int) -> None:
    returned = json.loads(scene.run(KILL, str(seed), "40").stdout)

    logged = {}
    for spool in scene.spools():
        logged.update(spool.values)
    for kill, count in enumerate(returned):
        values = logged[f"kill {kill}"]
        assert len(values) in (count, count + 1)  # the kill may come between the write and the return
        assert values == list(range(1, len(values) + 1))


SEGMENTS = """
from runstream._spool import queue
queue.TEND_MICROSECONDS = 0
queue.segment_bytes = lambda: 1500
"""


def test_a_kill_between_two_spools_loses_nothing_either(scene: Scene) -> None:
    returned = json.loads(scene.run(SEGMENTS + KILL, "3", "20").stdout)

    spools: dict[str, dict[str, tuple[str, list[Any]]]] = {}
    for path in spools_in(scene.group):
        header, spool = read_header(path), read(path)
        for name, logged in spool.values.items():
            spools.setdefault(name, {})[header.after] = header.writer, logged
    assert any(len(parts) > 1 for parts in spools.values())
    for kill, count in enumerate(returned):
        chain: list[Any] = []
        after = ""
        parts = spools[f"kill {kill}"]
        while after in parts:
            after, logged = parts[after]
            chain += logged
        assert len(chain) in (count, count + 1)
        assert chain == list(range(1, len(chain) + 1))


def test_what_a_script_logs_is_in_order_and_finished_at_exit(scene: Scene) -> None:
    scene.run("for i in range(1000): spool.log('loss', i / 7)\nspool.log_list('all', range(20000))")

    (spool,) = scene.spools()
    assert spool.values == {"loss": [i / 7 for i in range(1000)], "all": list(range(20000))}
    assert spool.is_finished


def test_a_script_that_exits_does_not_wait_for_ever_and_says_what_stays(scene: Scene) -> None:
    done = scene.run(f"os.environ[{EXIT_VARIABLE!r}] = '1.5'\nspool.log('loss', 1.0)")

    assert "waiting until" in done.stderr
    assert f"kept in {scene.group}" in done.stderr
    assert "runstream sync" in done.stderr


def test_sys_exit_and_exceptions_finish_the_spool_too(scene: Scene) -> None:
    scene.run("spool.log('loss', 1.0)\nsys.exit(0)")
    with pytest.raises(subprocess.CalledProcessError):
        scene.run("spool.log('loss', 2.0)\nraise RuntimeError")

    assert all(spool.is_finished for spool in scene.spools())
    assert len(scene.spools()) == 2
