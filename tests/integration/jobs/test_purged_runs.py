"""Jobs whose runs are gone for ever."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream_server.jobs.mount import Service
from runstream_server.jobs.rules.forgetting import AT_ONCE, KEPT
from runstream_server.names import RunName
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import failure_of
from tests.conftest import Backend
from tests.jobs_clock import pass_time, service_with_clock
from tests.make_runs import WORKSPACE
from tests.submitted import S, Submitter


@pytest.fixture
async def service(backend: Backend, postgres: Postgres) -> AsyncIterator[Service]:
    """The job service of a process."""
    async with service_with_clock(backend, postgres) as made:
        yield made


async def ended_run(submitter: Submitter) -> str:
    run = (await submitter.submit()).run.name
    await submitter.report(run, (await submitter.claim(run)).lease, S.RUN_STATUS_FAILED)
    return run


async def purge(postgres: Postgres, run: str) -> None:
    """Makes a run unknown to the run history."""
    await postgres.execute("UPDATE runs.run SET run = run || '-purged' WHERE run = $1", RunName.parse(run).run)


async def test_a_job_is_forgotten_when_its_run_is_gone_and_a_day_after_its_end(
    submitter: Submitter, service: Service, postgres: Postgres
) -> None:
    gone, kept = await ended_run(submitter), await ended_run(submitter)
    await purge(postgres, gone)
    await service.reaper.make_pass()
    early = await submitter.job(gone)
    await pass_time(postgres, KEPT + timedelta(seconds=1))

    await service.reaper.make_pass()

    assert early.run == gone
    asked = submitter.stub.GetJob(messages.GetJobRequest(run=gone))
    assert (await failure_of(asked)).reason == "JOB_NOT_FOUND"
    assert (await submitter.job(kept)).definition.script == "train.py"


async def test_the_job_of_a_deleted_run_stays_for_its_return(
    submitter: Submitter, service: Service, postgres: Postgres
) -> None:
    run = await ended_run(submitter)
    await stubs.run_history(submitter.channel).DeleteRuns(runs.DeleteRunsRequest(parent=WORKSPACE, names=[run]))
    await pass_time(postgres, KEPT + timedelta(seconds=1))

    await service.reaper.make_pass()

    assert (await submitter.job(run)).run == run


async def test_all_ended_jobs_are_looked_at_in_turn(submitter: Submitter, service: Service, postgres: Postgres) -> None:
    run = await ended_run(submitter)
    await postgres.execute(
        """
        INSERT INTO jobs.job (workspace, run, compute_target, kind, request_id, definition, state, priority, slots,
                              gpus, labels, max_attempts, create_time, state_time)
        SELECT 'space', 'purged' || n, 'local', 'local', gen_random_uuid(), '', 'ended', 0, 1, 0, '{}', 1, now(), now()
          FROM generate_series(1, $1) n
        """,
        2 * AT_ONCE,
    )
    await pass_time(postgres, KEPT + timedelta(seconds=1))

    for _ in range(4):
        await service.reaper.make_pass()

    assert await postgres.fetchval("SELECT array_agg(run) FROM jobs.job") == [RunName.parse(run).run]
