"""Spools of real processes: killed, forked, interrupted and out of room. No uplink takes part."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runstream._spool.format import DEFINE, DESCRIBE, FINISH, REFUSED, VALUE, Drops
from runstream._spool.leaving import EXIT_VARIABLE
from runstream._spool.lock import lock_file
from runstream._spool.places import LOCK_NAME, LOG_NAME, SPOOL_VARIABLE, group_folder, spools_in
from runstream._spool.reader import Damage, SpoolReader, read_header
from runstream._spool.records import decode_text, decode_values

ADDRESS = "127.0.0.1:1"
RUN = "workspaces/default/runs/one"
BEGIN = f"""
import os, sys
from runstream._spool import RunSpool
spool = RunSpool.open({RUN!r}, {ADDRESS!r})
"""


@dataclass(frozen=True)
class Scene:
    """A folder of spools that no uplink carries: this process holds the lock."""

    group: Path

    def run(self, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs a script that has a `spool`."""
        return subprocess.run(
            [sys.executable, "-c", BEGIN + code, *arguments], capture_output=True, text=True, timeout=60, check=True
        )

    def spools(self) -> list["Spool"]:
        return [read(path) for path in spools_in(self.group)]


@dataclass
class Spool:
    """What is in a spool."""

    values: dict[str, list[Any]]
    types: list[int]
    damages: list[Damage]
    drops: Drops

    @property
    def is_finished(self) -> bool:
        return self.types[-1:] == [FINISH]


def read(path: Path) -> Spool:
    reader = SpoolReader(path)
    names: dict[int, str] = {}
    spool = Spool({}, [], [], reader.drops())
    while found := reader.read(final=True):
        for item in found:
            if isinstance(item, Damage):
                spool.damages.append(item)
                continue
            spool.types.append(item.type)
            if item.type == DEFINE:
                id_, name = decode_text(item.body)
                names[id_] = name
            elif item.type >= VALUE:
                values = decode_values(item.body)
                column = [None] * values.column if isinstance(values.column, int) else list(values.column)
                spool.values.setdefault(names[values.id], []).extend(column)
    reader.close()
    return spool


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path))
    monkeypatch.setenv(EXIT_VARIABLE, "0")
    group = group_folder(ADDRESS)
    group.mkdir()
    lock = lock_file(group / LOCK_NAME)
    assert lock is not None
    yield Scene(group)
    os.close(lock)


KILL = """
import json, mmap, random, signal, struct
random.seed(int(sys.argv[1]))
returned = mmap.mmap(-1, 8)
outcomes = []
for kill in range(int(sys.argv[2])):
    returned[:] = bytes(8)
    child = os.fork()
    if not child:
        for number in range(1, 10**9):
            spool.log(f"kill {kill}", float(number) if number % 3 else number, step=None if number % 5 else number)
            returned[:] = struct.pack("<q", number)
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


def test_a_script_without_services_takes_no_memory_for_what_it_logs(scene: Scene) -> None:
    done = scene.run(
        """
import resource
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range(10_000): spool.log(f"metric {i % 10}", i / 7, step=i)
before = peak()
for i in range(300_000): spool.log(f"metric {i % 10}", i / 7, step=i)
print(peak() - before)
"""
    )

    assert int(done.stdout) < 20 * 1024
    assert sum(len(values) for spool in scene.spools() for values in spool.values.values()) == 310_000


SEGMENTS = """
from runstream._spool import run_spool
run_spool.TEND_MICROSECONDS = 0
run_spool.segment_bytes = lambda: 1500
"""


def test_a_kill_between_two_spools_loses_nothing_either(scene: Scene) -> None:
    returned = json.loads(scene.run(SEGMENTS + KILL, "3", "20").stdout)

    spools: dict[str, dict[str, tuple[str, list[Any]]]] = {}
    for path in spools_in(scene.group):
        header, spool = read_header(path), read(path)
        for name, logged in spool.values.items():
            spools.setdefault(name, {})[header.after] = header.writer, logged
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


def test_a_forked_child_has_a_spool_of_its_own(scene: Scene) -> None:
    scene.run(
        """
spool.log("parent", 1.0)
child = os.fork()
if not child:
    for i in range(100): spool.log("child", float(i))
    RunSpool.open(spool._run, spool._address).log("child", 100.0)
    sys.exit(0)
for i in range(100): spool.log("parent", float(i))
os.waitpid(child, 0)
"""
    )

    parent, child = sorted(scene.spools(), key=lambda spool: "child" in spool.values)
    assert parent.values == {"parent": [1.0, *map(float, range(100))]}
    assert child.values == {"child": [float(i) for i in range(101)]}
    assert parent.is_finished
    assert child.is_finished


def test_a_fork_while_other_threads_log_does_not_hang_the_child(scene: Scene) -> None:
    scene.run(
        """
import threading, warnings
warnings.simplefilter("ignore")
stop = threading.Event()
def log():
    while not stop.is_set(): spool.log("thread", 1.0)
threads = [threading.Thread(target=log) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        spool.log("child", 1.0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
"""
    )

    assert sum(len(spool.values.get("child", [])) for spool in scene.spools()) == 20
    assert not any(spool.damages for spool in scene.spools())


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_multiprocessing_log(scene: Scene, tmp_path: Path, method: str) -> None:
    script = tmp_path / "workers.py"
    script.write_text(
        BEGIN
        + """
import multiprocessing
def work(number): spool.log(f"worker {number}", float(number))
if __name__ == "__main__":
    spool.log("main", 0.0)
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=work, args=(number,)) for number in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    assert not any(worker.exitcode for worker in workers)
"""
    )

    subprocess.run([sys.executable, str(script), method], check=True, timeout=60)

    logged = {name: values for spool in scene.spools() for name, values in spool.values.items()}
    assert logged == {"main": [0.0], "worker 0": [0.0], "worker 1": [1.0], "worker 2": [2.0]}
    assert len(scene.spools()) == 4


def test_eight_processes_log_to_one_run(scene: Scene) -> None:
    code = BEGIN + "for i in range(500): spool.log(sys.argv[1], float(i))"
    ranks = [subprocess.Popen([sys.executable, "-c", code, f"rank {rank}"]) for rank in range(8)]
    assert [rank.wait(60) for rank in ranks] == [0] * 8

    logged = {name: values for spool in scene.spools() for name, values in spool.values.items()}
    assert logged == {f"rank {rank}": [float(i) for i in range(500)] for rank in range(8)}


def test_threads_log_without_losing_anything(scene: Scene) -> None:
    scene.run(
        """
import threading
def log(name):
    for i in range(2000): spool.log(name, float(i)); spool.log("shared", i)
threads = [threading.Thread(target=log, args=(f"thread {n}",)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    )

    (spool,) = scene.spools()
    assert sorted(spool.values.pop("shared")) == sorted(list(range(2000)) * 8)
    assert spool.values == {f"thread {n}": [float(i) for i in range(2000)] for n in range(8)}


def test_a_signal_handler_may_log_while_log_runs(scene: Scene) -> None:
    scene.run(
        """
import signal
count = 0
def handle(number, frame):
    global count
    count += 1
    spool.log(f"signal {count % 50}", float(count))
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
i = 0
while count < 300:
    spool.log(f"loss {i % 50}", float(i))
    i += 1
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    )

    (spool,) = scene.spools()
    assert sum(len(values) for name, values in spool.values.items() if name.startswith("signal")) >= 300
    assert not spool.damages


def test_a_flush_or_finish_that_an_interrupted_log_waits_for_comes_to_an_end(scene: Scene) -> None:
    scene.run(
        """
import threading
from runstream._spool import run_spool
run_spool.LOCK_SECONDS = 0.05
spool.log("loss", 1.0)
ended = []
def end():
    assert RunSpool.open(spool._run, spool._address) is spool
    try: spool.flush(0.05)
    except Exception as error: ended.append(error)
    spool.finish()
with run_spool._registry_lock, spool._lock:
    RunSpool.open(spool._run + " of a handler", spool._address)
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(30)
assert "could not be flushed" in str(ended[0])
"""
    )

    (spool,) = scene.spools()
    assert spool.values == {"loss": [1.0]}
    assert spool.is_finished


FULL = """
import resource, signal
spool.log("before", 1.0)
room = spool._writer.position + 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
for i in range(200): spool.log("loss", float(i))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for i in range(10): spool.log("after", float(i))
"""


def test_without_room_training_goes_on_with_one_warning_and_a_count_at_the_end(scene: Scene) -> None:
    done = scene.run(FULL)

    (spool,) = scene.spools()
    stored = len(spool.values["loss"])
    assert 0 < stored < 200
    assert spool.values["loss"] == [float(i) for i in range(stored)]
    assert spool.values["after"] == [float(i) for i in range(10)]
    assert spool.drops.value_count == 200 - stored
    assert not spool.damages
    warning, summary = done.stderr.splitlines()
    assert "cannot be written to the spool" in warning
    assert f"{200 - stored} could not be written to the spool" in summary


def test_without_a_place_for_spools_training_goes_on_with_a_warning_and_a_count(scene: Scene, tmp_path: Path) -> None:
    occupied = tmp_path / "a file"
    occupied.write_text("")

    done = scene.run(f"os.environ[{SPOOL_VARIABLE!r}] = {str(occupied)!r}\nfor i in range(9): spool.log('loss', 1.0)")

    warning, summary = done.stderr.splitlines()
    assert "Not a directory" in warning
    assert "9 could not be written to the spool" in summary


def test_logging_imports_no_grpc_and_starts_no_thread(scene: Scene) -> None:
    scene.run(
        """
import threading
spool.log("loss", 1.0)
spool.log_list("all", [1, 2])
spool.follow_file("logs/a.txt", "a.txt")
try: spool.flush(0.01)
except Exception as error: assert "could not be flushed within 0.01 seconds" in error.message
else: assert False
assert threading.active_count() == 1
assert not [name for name in sys.modules if name.partition(".")[0] in ("grpc", "numpy", "asyncio_")]
"""
    )


def test_values_of_a_bad_name_are_refused_with_one_warning_each_and_counted_at_exit(scene: Scene) -> None:
    done = scene.run(
        """
for name in ("", "x" * 256, "a\\0b", "\\ud800"):
    spool.log(name, 1.0)
    spool.log(name, 2.0)
spool.log("good", 3.0)
"""
    )

    (spool,) = scene.spools()
    assert spool.values == {"good": [3.0]}
    assert spool.types.count(REFUSED) == 8
    assert len(done.stderr.splitlines()) == 5
    assert done.stderr.splitlines()[-1].count("2 of metric") == 4


def test_errors_of_the_user_are_raised_and_store_nothing(scene: Scene) -> None:
    scene.run(
        """
from runstream.exceptions import AzureMLException, UserErrorException
def fails(error, call, *arguments, **more):
    try: call(*arguments, **more)
    except error: return
    raise AssertionError
fails(UserErrorException, spool.log, "a", [1])
fails(UserErrorException, spool.log, 5, 1.0)
fails(AzureMLException, spool.log_list, "a", [[1]])
fails(TypeError, spool.log_list, "a", 5)
spool.log("a", 10**400)
"""
    )

    (spool,) = scene.spools()
    assert spool.values == {"a": [float("inf")]}


def test_a_value_whose_step_is_no_integer_is_stored_without_it(scene: Scene) -> None:
    done = scene.run("for step in (0.5, 'x', [1]): spool.log('a', step if step == 0.5 else 1.0, step=step)")

    (spool,) = scene.spools()
    assert spool.values == {"a": [0.5, 1.0, 1.0]}
    assert "stored without it" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_flush_in_vain_says_where_to_look(scene: Scene) -> None:
    done = scene.run(
        """
spool.log("loss", 1.0)
try: spool.flush(0.01)
except Exception as error: print(error.message)
"""
    )

    assert done.stdout.startswith("The queue could not be flushed within 0.01 seconds. ")
    assert f"the services at {ADDRESS}" in done.stdout
    assert "is running" in done.stdout  # this test has the lock
    assert str(scene.group / LOG_NAME) in done.stdout


def test_a_description_that_is_no_text_costs_no_value(scene: Scene) -> None:
    done = scene.run(
        """
class Unprintable:
    def __str__(self): raise ZeroDivisionError
spool.log("a", 1.0, description=3)
spool.log("b", 2.0, description=Unprintable())
spool.log("c", 3.0, description=None)
spool.log_list("d", [4.0], description=5)
"""
    )

    (spool,) = scene.spools()
    assert spool.values == {"a": [1.0], "b": [2.0], "c": [3.0], "d": [4.0]}
    assert spool.types.count(DESCRIBE) == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_spool_that_somebody_removed_is_begun_anew(scene: Scene) -> None:
    done = scene.run(
        """
spool.log("lost", 1.0)
os.unlink(spool._writer.path)
spool._tend_time = 0
spool.log("lost", 2.0)
spool.log("kept", 3.0)
"""
    )

    assert "somebody removed the spool" in done.stderr
    assert [spool.values for spool in scene.spools()] == [{"kept": [3.0]}]
