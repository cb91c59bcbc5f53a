"""Spools of several processes, threads and signal handlers that log to one run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.spool_scenes import BEGIN, Scene


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
count = depth = 0
def handle(number, frame):
    global count, depth
    if depth < 5:  # or a slow machine would never leave the handlers of the signals that come meanwhile
        depth += 1
        count += 1
        spool.log(f"signal {count % 50}", float(count))
        depth -= 1
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
