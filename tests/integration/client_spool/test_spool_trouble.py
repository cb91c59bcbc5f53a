"""Scripts that cannot store what they log, or log what cannot be stored: training goes on, and is told once."""

from pathlib import Path

from runstream._spool.format import DESCRIBE, REFUSED
from runstream._spool.places import LOG_NAME, SPOOL_VARIABLE
from tests.spool_scenes import ADDRESS, Scene


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
