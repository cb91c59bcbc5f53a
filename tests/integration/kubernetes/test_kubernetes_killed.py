"""A server that is killed while it makes Jobs: its successor makes what is missing, and nothing twice."""

from collections import Counter
from dataclasses import replace

from runstream.api.jobs.v1 import job_pb2
from runstream_server.cluster_config import ClusterConfig
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests.integration.kubernetes.conftest import TARGET, Scene, make_target
from tests.integration.kubernetes.halting import Halt, pass_on
from tests.kubernetes_api import JOB, SECRET, SERVICE, KubernetesApi
from tests.server_process import ServerProcess
from tests.submitted import make_submitter

TWO_NODES = job_pb2.JobDefinition(script="train.py", distribution=job_pb2.Distribution(node_count=2))
RUNS = 3


async def test_a_server_that_is_killed_leaves_jobs_that_its_successor_completes(
    on_kubernetes: Config, api: KubernetesApi
) -> None:
    (cluster, *_) = on_kubernetes.kubernetes.clusters
    clusters = (ClusterConfig(name="east", kubeconfig=cluster.kubeconfig),)
    kubernetes = replace(on_kubernetes.kubernetes, clusters=clusters, lead_seconds=0.5)
    server = ServerProcess(replace(on_kubernetes, kubernetes=kubernetes))
    async with server.running():
        api.after = halt = Halt(SECRET)
        runs = await _submit(server.address)
        await halt.reached.wait()
        await server.kill()
        api.after = pass_on
        await server.start()
        async with open_channel(server.address) as channel:
            scene = Scene(api, await make_submitter(channel), channel)
            for run in runs:
                await scene.says(run, "made no pod")

    assert Counter(kind for kind, _, _ in api.objects) == {JOB: RUNS, SECRET: RUNS, SERVICE: RUNS}
    assert {job["metadata"]["annotations"]["runstream.io/run-name"] for job in api.of(JOB)} == set(runs)


async def _submit(address: str) -> list[str]:
    async with open_channel(address) as channel:
        submitter = await make_submitter(channel)
        await make_target(channel, cluster="east")
        return [(await submitter.submit(TWO_NODES, compute_target=TARGET)).run.name for _ in range(RUNS)]
