"""Runners of which nothing was heard for so long that the service has ended their runs."""

from datetime import timedelta

from runstream._runner.recovery import resume_lost_jobs
from runstream_server.config import Config
from runstream_server.jobs.model import HeldJob, JobState, Verdict
from runstream_server.jobs.rules.settling import Patience, Settling
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.names import RunName
from runstream_server.postgres import Hints, open_postgres
from runstream_server.runhistory import ManagedRuns
from tests.conditions import ended
from tests.fault_proxy import fault_proxy
from tests.runners import Jobs, S, gone

NOT_OURS = 12
LOST = Verdict("FAILED", "its runner was lost", "RunnerLost", "Nothing was heard of the runner.")
PATIENCE = Patience(*[timedelta(minutes=1)] * 3)
WAITING = """
import signal
open("outputs/a", "w").write("a")
open("logs/b.txt", "w").write("b")
print("waiting")
signal.pause()
"""


async def give_up(jobs: Jobs, config: Config, run: str, attempts: int = 1) -> None:
    """Ends a run as the service does when its runner is lost; it may have been executed again since then."""
    async with open_postgres(config.postgres) as postgres:
        store = JobStore(postgres)
        job = await store.get(RunName.parse(run))
        assert job is not None
        held = HeldJob(job.name, job.lease)
        settling = Settling(store, ManagedRuns(jobs.channel), Hints(), PATIENCE)
        await postgres.execute("UPDATE jobs.job SET attempt = $2 WHERE run = $1", job.name.run, attempts)
        assert await settling.judge(held, [JobState.HELD], LOST)


async def test_what_a_runner_has_that_comes_back_is_stored_and_the_status_stays(
    jobs: Jobs, services_config: Config
) -> None:
    async with fault_proxy([jobs.address], lambda: None) as proxy:
        runner = await jobs.start(await jobs.submit(WAITING), address=proxy.address)
        await jobs.printed(runner.run, "waiting\n")
        proxy.hold()
        await give_up(jobs, services_config, runner.run)
        proxy.release()
        await runner.ended()

    run, files = await jobs.run(runner.run), await jobs.files(runner.run)
    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "RunnerLost")
    assert files["outputs/a"] == b"a"
    assert "azureml-logs/process_status.json" in files
    assert await jobs.log(runner.run, "logs/b.txt") == "b"


async def test_what_a_killed_runner_left_is_stored_by_the_next_one(jobs: Jobs, services_config: Config) -> None:
    runner = await jobs.start(await jobs.submit(WAITING))
    await jobs.printed(runner.run, "waiting\n")
    processes = await runner.kill_all()
    await give_up(jobs, services_config, runner.run)

    started = {run: pid for (run, _), pid in resume_lost_jobs().items()}
    await ended(started[runner.run])

    await gone(processes)
    assert (await jobs.run(runner.run)).error.code == "RunnerLost"
    assert (await jobs.files(runner.run))["outputs/a"] == b"a"


async def test_what_is_left_of_an_attempt_that_another_one_came_after_is_not_stored(
    jobs: Jobs, services_config: Config
) -> None:
    runner = await jobs.start(await jobs.submit(WAITING, max_attempts=2))
    await jobs.printed(runner.run, "waiting\n")

    await give_up(jobs, services_config, runner.run, attempts=2)

    assert await runner.ended() == NOT_OURS
    assert "outputs/a" not in await jobs.files(runner.run)
