"""Jobs that wait end at once with their runs, whoever ends these, and wherever they were submitted."""

from runstream.api.jobs.v1 import job_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1 import run_pb2
from tests import stubs
from tests.conditions import until_answered
from tests.connected_agents import POOL, agent, make_pool
from tests.submitted import S, Submitter


async def queued(submitter: Submitter) -> str:
    await make_pool(submitter.channel)
    return (await submitter.submit(compute_target=POOL)).run.name


async def has_ended(submitter: Submitter, name: str) -> bool:
    return (await submitter.job(name)).state == job_pb2.JOB_STATE_ENDED


async def test_a_queued_run_is_canceled_at_once(submitter: Submitter) -> None:
    name = await queued(submitter)

    asked = await submitter.cancel(name)
    await until_answered(lambda: has_ended(submitter, name))

    run = await submitter.run(name)
    assert (asked.status, run.status) == (S.RUN_STATUS_CANCEL_REQUESTED, S.RUN_STATUS_CANCELED)
    assert run.status_history[-1].reason == "cancelled before a runner started it"


async def test_a_queued_run_that_somebody_fails_leaves_the_queue(submitter: Submitter) -> None:
    name = await queued(submitter)
    error = run_pb2.RunError(code="Mine")

    await stubs.run_history(submitter.channel).FailRun(runs.FailRunRequest(name=name, error=error))
    await until_answered(lambda: has_ended(submitter, name))

    assert (await submitter.run(name)).error.code == "Mine"


async def test_a_run_that_was_offered_is_canceled_at_once_and_its_runner_is_refused(submitter: Submitter) -> None:
    name = await queued(submitter)
    async with agent(submitter.channel) as first:
        offer = await first.offer()
        await first.report()
        await submitter.cancel(name)
        await until_answered(lambda: has_ended(submitter, name))

    assert (await submitter.run(name)).status == S.RUN_STATUS_CANCELED
    assert offer.job.run == name
