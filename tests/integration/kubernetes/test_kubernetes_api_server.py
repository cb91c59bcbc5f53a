"""Runs on a real API server of Kubernetes: it checks each object, each right and each change of a status."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from runstream.api.jobs.v1 import job_pb2
from runstream_server.cluster_config import ClusterConfig, KubernetesConfig
from runstream_server.config import Config
from tests.api_server import PROGRAM, ApiServer, Namespace, api_server, open_client
from tests.conditions import until_answered
from tests.conftest import serve
from tests.guarded import guarded_services
from tests.integration.kubernetes.conftest import TARGET, lease_of, make_target
from tests.submitted import SCRIPT, S, Submitter, make_submitter

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="needs a program that `make kubernetes-test` builds")

SEVERAL = job_pb2.JobDefinition(
    script="train.py",
    distribution=job_pb2.Distribution(node_count=3),
    requirements=job_pb2.JobRequirements(gpus=2, labels={"pool": "a"}),
    container=job_pb2.ContainerOptions(shm_size="2g"),
)
TEMPLATE = {
    "spec": {
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "volumes": [
            {"name": "runstream", "persistentVolumeClaim": {"claimName": "work"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        ],
        "containers": [{"name": "main", "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}]}],
    }
}


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[ApiServer]:
    """The API server."""
    with api_server(server_folder / "kubernetes") as started:
        yield started


@pytest.fixture
async def namespace(server: ApiServer) -> AsyncIterator[Namespace]:
    """A namespace in which the services may do nothing yet."""
    async with open_client(server) as client:
        made = Namespace(client)
        await made.make()
        yield made


@dataclass(frozen=True)
class Site:
    """Services that know the cluster."""

    namespace: Namespace
    submitter: Submitter
    channel: grpc.aio.Channel

    async def submit(self, definition: job_pb2.JobDefinition = SCRIPT, **of_target: Any) -> str:
        """Submits a run to a target that is made for it; returns its name."""
        await make_target(self.channel, namespace=self.namespace.name, **of_target)
        return (await self.submitter.submit(definition, compute_target=TARGET)).run.name

    async def says(self, run: str, words: str) -> None:
        """Waits until a run waits for a reason with these words."""

        async def does() -> bool:
            return words in (await self.submitter.job(run)).queueing_message

        await until_answered(does)

    async def ended(self, run: str) -> Any:
        """Waits for the end of a run; returns it."""

        async def has() -> bool:
            return (await self.submitter.job(run)).state == job_pb2.JOB_STATE_ENDED

        await until_answered(has)
        return await self.submitter.run(run)


@pytest.fixture
async def site(config: Config, server: ApiServer, namespace: Namespace, tmp_path: Path) -> AsyncIterator[Site]:
    """Services that know the cluster, and may do there what the guide says."""
    await namespace.grant()
    async with serve(knowing(config, server, tmp_path)) as served:
        yield Site(namespace, await make_submitter(served.channel), served.channel)


def knowing(config: Config, server: ApiServer, folder: Path) -> Config:
    """Settings of services that know the cluster."""
    clusters = (ClusterConfig(name="", kubeconfig=str(server.kubeconfig(folder))),)
    return replace(
        config, kubernetes=KubernetesConfig(clusters=clusters, service_address="runs.ml:7878", stuck_seconds=0)
    )


async def test_a_run_is_made_and_completed_with_the_rights_of_the_guide(site: Site) -> None:
    run = await site.submit()
    job, secret = await site.namespace.only("jobs"), await site.namespace.only("secrets")
    pod = await site.namespace.make_pod(job, phase="Running")
    await site.says(run, f"the runner starts in pod {pod}")
    claimed = await site.submitter.claim(run, "runner", lease_of(job))
    await site.submitter.report(run, claimed.lease, S.RUN_STATUS_RUNNING)
    await site.submitter.report(run, claimed.lease, S.RUN_STATUS_COMPLETED)

    assert (await site.ended(run)).status == S.RUN_STATUS_COMPLETED
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert set(secret["data"]) == {"RUNSTREAM_ADDRESS"}


async def test_the_token_of_a_job_that_waits_is_kept_fresh_with_the_rights_of_the_guide(
    config: Config, server: ApiServer, namespace: Namespace, tmp_path: Path
) -> None:
    await namespace.grant()
    async with guarded_services(knowing(config, server, tmp_path), run_lifetime=timedelta(seconds=1)) as guarded:
        site = Site(namespace, await make_submitter(guarded.channel), guarded.channel)
        await site.submit()
        first = (await namespace.only("secrets"))["data"]

        async def is_newer() -> bool:
            (secret,) = await namespace.of("secrets")
            return bool(secret["data"]["RUNSTREAM_TOKEN"] != first["RUNSTREAM_TOKEN"])

        await until_answered(is_newer)

    assert set(first) == {"RUNSTREAM_ADDRESS", "RUNSTREAM_TOKEN"}


async def test_a_run_of_several_nodes_with_all_that_there_is_is_accepted(site: Site) -> None:
    await site.submit(
        SEVERAL,
        pod_template_json=json.dumps(TEMPLATE),
        resource_limits={"cpu": "8", "memory": "4Gi"},
        queue="team",
        service_account="trainer",
    )

    job, service = await site.namespace.only("jobs"), await site.namespace.only("services")
    pod = job["spec"]["template"]["spec"]
    assert (job["spec"]["completions"], job["spec"]["suspend"]) == (3, True)
    assert service["spec"]["clusterIP"] == "None"
    assert pod["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert [volume["name"] for volume in pod["volumes"]] == ["runstream", "shm", "data"]


async def test_a_queue_holds_a_run_back(site: Site) -> None:
    run = await site.submit(queue="team")

    await site.says(run, "waits until Kueue admits it")


async def test_what_the_cluster_refuses_is_told_with_the_field(site: Site) -> None:
    mounts = [{"name": "nowhere", "mountPath": "/data"}]
    template = {"spec": {"containers": [{"name": "main", "volumeMounts": mounts}]}}

    failed = await site.ended(await site.submit(pod_template_json=json.dumps(template)))

    assert (failed.status, failed.error.code) == (S.RUN_STATUS_FAILED, "JobRefused")
    assert "volumeMounts" in failed.error.message


async def test_missing_rights_are_told_until_they_are_granted(
    config: Config, server: ApiServer, namespace: Namespace, tmp_path: Path
) -> None:
    async with serve(knowing(config, server, tmp_path)) as served:
        site = Site(namespace, await make_submitter(served.channel), served.channel)
        run = await site.submit()
        await site.says(run, 'User "runstream" cannot create resource "jobs"')
        await namespace.grant()

        assert (await namespace.only("jobs"))["metadata"]["annotations"]["runstream.io/run-name"] == run


async def test_an_image_that_cannot_be_fetched_fails_the_run_and_deletes_its_job(site: Site) -> None:
    run = await site.submit()
    waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    container = {"name": "main", "image": "ml/train:1", "imageID": "", "ready": False, "restartCount": 0} | waiting
    await site.namespace.make_pod(await site.namespace.only("jobs"), phase="Pending", containerStatuses=[container])

    failed = await site.ended(run)
    await site.namespace.none("jobs")

    assert (failed.status, failed.error.code) == (S.RUN_STATUS_FAILED, "ImagePullFailed")


async def test_a_run_that_waits_is_cancelled_by_deleting_its_job(site: Site) -> None:
    run = await site.submit()
    await site.namespace.only("jobs")

    await site.submitter.cancel(run)
    await site.namespace.none("jobs")

    assert (await site.ended(run)).status == S.RUN_STATUS_CANCELED


async def test_a_job_that_somebody_deletes_fails_its_run(site: Site) -> None:
    run = await site.submit()
    job = await site.namespace.only("jobs")
    await site.says(run, "made no pod")

    await site.namespace.remove("jobs", job["metadata"]["name"])

    assert (await site.ended(run)).error.code == "PodDeleted"
