"""What tests of jobs on Kubernetes stand on: a cluster, and services that know it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from runstream.api.jobs.v1 import compute_target_pb2 as kinds
from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.cluster_config import ClusterConfig, KubernetesConfig
from runstream_server.config import Config
from tests import stubs
from tests.conditions import until_answered
from tests.conftest import Backend, serve
from tests.kubernetes_api import JOB, KubernetesApi, Object, kubernetes_api
from tests.make_runs import WORKSPACE
from tests.submitted import SCRIPT, Submitter, make_submitter

TARGET = f"{WORKSPACE}/computeTargets/gpu"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[tuple[KubernetesApi, Path]]:
    """A cluster, and the kubeconfig that leads to it."""
    async with kubernetes_api(tmp_path) as made:
        yield made


@pytest.fixture
def api(cluster: tuple[KubernetesApi, Path]) -> KubernetesApi:
    """The cluster."""
    return cluster[0]


@pytest.fixture
def on_kubernetes(config: Config, cluster: tuple[KubernetesApi, Path]) -> Config:
    """Settings of a process that knows the cluster."""
    kubeconfig = str(cluster[1])
    clusters = (
        ClusterConfig(name="", kubeconfig=kubeconfig),
        ClusterConfig(name="locked", kubeconfig=kubeconfig, context="stranger"),
    )
    kubernetes = KubernetesConfig(clusters=clusters, service_address="runstream.ml:7878", stuck_seconds=0)
    return replace(config, kubernetes=kubernetes)


@dataclass(frozen=True)
class Scene:
    """Runs that are submitted to a namespace of the cluster."""

    api: KubernetesApi
    submitter: Submitter
    channel: grpc.aio.Channel

    async def submit(self, definition: job_pb2.JobDefinition = SCRIPT, target: str = TARGET) -> str:
        """Submits a run; returns its name."""
        return (await self.submitter.submit(definition, compute_target=target)).run.name

    async def submitted(self, definition: job_pb2.JobDefinition = SCRIPT) -> tuple[str, Object]:
        """Submits a run; returns its name, and its Job as soon as that is there."""
        name = await self.submit(definition)
        return name, await self.api.job()

    async def claim(self, run: str, job: Object) -> messages.ClaimJobResponse:
        """Claims a run, as the runner in its pod does."""
        return await self.submitter.claim(run, "runner", lease_of(job))

    async def says(self, run: str, words: str) -> str:
        """Waits until a run waits for a reason with these words; returns the reason."""

        async def does() -> bool:
            return words in (await self.submitter.job(run)).queueing_message

        await until_answered(does)
        return (await self.submitter.job(run)).queueing_message

    async def ended(self, run: str) -> Any:
        """Waits for the end of a run; returns it."""

        async def has() -> bool:
            return (await self.submitter.job(run)).state == job_pb2.JOB_STATE_ENDED

        await until_answered(has)
        return await self.submitter.run(run)

    async def fail(self, job: Object, reason: str = "BackoffLimitExceeded") -> None:
        """Lets a Job have failed."""
        condition = {"type": "Failed", "status": "True", "reason": reason}
        await self.api.set_status(JOB, job["metadata"]["name"], conditions=[condition])


def lease_of(job: Object) -> int:
    """The lease with which the runner of a Job claims the run."""
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    return int(arguments[arguments.index("--lease") + 1])


async def make_target(channel: grpc.aio.Channel, target: str = "gpu", **of_namespace: Any) -> None:
    """Makes a compute target of the cluster."""
    namespace = kinds.KubernetesNamespace(**{"namespace": "ml", "default_image": "ml/train:1"} | of_namespace)
    made = messages.ComputeTarget(kind=messages.COMPUTE_TARGET_KIND_KUBERNETES, kubernetes=namespace)
    request = messages.CreateComputeTargetRequest(parent=WORKSPACE, compute_target=made, compute_target_id=target)
    await stubs.jobs(channel).CreateComputeTarget(request)


@pytest.fixture
async def backend_on_kubernetes(on_kubernetes: Config) -> AsyncIterator[Backend]:
    """All services in this process, which know the cluster."""
    async with serve(on_kubernetes) as served:
        yield served


@pytest.fixture
async def scene(backend_on_kubernetes: Backend, api: KubernetesApi) -> Scene:
    """Runs that are submitted to a namespace of the cluster."""
    channel = backend_on_kubernetes.channel
    submitter = await make_submitter(channel)
    await make_target(channel)
    return Scene(api, submitter, channel)
