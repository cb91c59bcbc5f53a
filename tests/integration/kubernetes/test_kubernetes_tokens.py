"""Runners in pods come with a token of their run, which is still taken when they waited for days."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests import stubs
from tests.conditions import until_answered
from tests.guarded import guarded_services, outcome
from tests.integration.kubernetes.conftest import Scene, lease_of, make_target
from tests.kubernetes_api import JOB, SECRET, KubernetesApi, Object, Refusal
from tests.submitted import make_submitter


@asynccontextmanager
async def guarded_scene(config: Config, api: KubernetesApi, seconds: float) -> AsyncIterator[tuple[Scene, str]]:
    """Runs that an operator submits to a namespace of the cluster, and the address of services that want tokens.

    Those of runs live for so many seconds.
    """
    async with guarded_services(config, run_lifetime=timedelta(seconds=seconds)) as guarded:
        submitter = await make_submitter(guarded.channel)
        await make_target(guarded.channel)
        yield Scene(api, submitter, guarded.channel), guarded.address


def token_in_secret(api: KubernetesApi) -> str:
    (secret,) = api.of(SECRET)
    return str(secret["stringData"]["RUNSTREAM_TOKEN"])


async def gets_another_token(api: KubernetesApi, job: Object) -> None:
    """Waits until there is another token in the Secret of a Job, which changes all the time meanwhile."""
    first = token_in_secret(api)

    async def has_it() -> bool:
        await api.set_status(JOB, job["metadata"]["name"], active=1)
        return token_in_secret(api) != first

    await until_answered(has_it)


async def test_the_runner_in_a_pod_claims_its_run_with_the_token_of_the_secret_and_gets_another_one(
    on_kubernetes: Config, api: KubernetesApi
) -> None:
    async with guarded_scene(on_kubernetes, api, 3_600.0) as (scene, address):
        run, job = await scene.submitted()
        shown = token_in_secret(api)
        other = await scene.submit()
        async with open_channel(address, secret=shown) as channel:
            stub = stubs.jobs(channel)
            foreign = await outcome(stub.GetJob(messages.GetJobRequest(run=other)))
            claimed = await stub.ClaimJob(messages.ClaimJobRequest(run=run, holder="pod", lease=lease_of(job)))

    assert foreign == "NOT_FOUND JOB_NOT_FOUND"
    assert claimed.run_token.secret.startswith("rsr_")
    assert claimed.run_token.secret != shown


async def test_the_token_of_a_job_that_waits_is_kept_fresh_until_its_runner_claims_it(
    on_kubernetes: Config, api: KubernetesApi
) -> None:
    async with guarded_scene(on_kubernetes, api, 0.5) as (scene, _):
        run, job = await scene.submitted()
        await gets_another_token(api, job)
        await scene.claim(run, job)

    assert {call[:2] for call in api.calls} == {("POST", JOB), ("POST", SECRET), ("PATCH", SECRET)}


async def test_a_secret_that_was_made_without_an_answer_gets_a_token_whose_end_is_known(
    on_kubernetes: Config, api: KubernetesApi
) -> None:
    answers = [False]

    async def lose_the_first_answer(method: str, plural: str) -> None:
        if (method, plural) == ("POST", SECRET) and answers:
            answers.clear()
            raise Refusal(500, "InternalError")

    api.after = lose_the_first_answer
    async with guarded_scene(on_kubernetes, api, 3_600.0) as (scene, _):
        _, job = await scene.submitted()
        await gets_another_token(api, job)
