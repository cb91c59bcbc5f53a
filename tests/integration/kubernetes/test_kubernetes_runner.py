"""The runner itself in what the manifests make of it: containers are processes here, all else is as in a cluster."""

import asyncio
import os
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream._snapshot.take import take_snapshot
from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1.environment_pb2 import Environment, EnvironmentDefinition, PythonDefinition
from tests.conditions import SECONDS
from tests.conftest import Backend
from tests.integration.kubernetes.conftest import Scene, make_target
from tests.kubernetes_api import SECRET, KubernetesApi, Object
from tests.make_runs import WORKSPACE
from tests.runners import Jobs
from tests.spools import Spools, spools_in
from tests.submitted import S

THIS_PYTHON = PythonDefinition(user_managed=True, interpreter_path=sys.executable)
PROGRAM = "import os; print('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'], os.environ['MASTER_ADDR'])"


@pytest.fixture
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spools]:
    """Where the runners keep what they log, so that their uplink ends with the test."""
    with spools_in(tmp_path / "spools", monkeypatch) as made:
        yield made


async def start_container(api: KubernetesApi, job: Object, index: int, folder: Path) -> asyncio.subprocess.Process:
    """Starts what the container of a pod would be."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: _value(api, each, index) for each in container["env"]}
    arguments = [
        argument.replace("$(RUNSTREAM_ADDRESS)", variables["RUNSTREAM_ADDRESS"]) for argument in container["args"]
    ]
    home = folder / str(index)
    home.mkdir()
    variables |= {"HOME": str(home), "RUNSTREAM_JOBS_DIR": str(home / "jobs")}
    python, *command = container["command"]
    assert python == "python"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *command, *arguments), env={**os.environ, **variables}, cwd=home
    )


def _value(api: KubernetesApi, variable: dict[str, Any], index: int) -> str:
    if "value" in variable:
        return str(variable["value"])
    source = variable["valueFrom"]
    if "fieldRef" in source:
        return str(index)
    (secret,) = (each for each in api.of(SECRET) if each["metadata"]["name"] == source["secretKeyRef"]["name"])
    data = {key: b64decode(value).decode() for key, value in secret.get("data", {}).items()}
    return str({**data, **secret["stringData"]}[source["secretKeyRef"]["key"]])


async def test_the_runners_of_two_nodes_execute_the_run_together(
    scene: Scene, backend_on_kubernetes: Backend, spools: Spools, tmp_path: Path
) -> None:
    address = backend_on_kubernetes.address
    await make_target(scene.channel, "two", service_address=address)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").write_text(PROGRAM)
    snapshot = await take_snapshot(Connection.to(address), WORKSPACE, tmp_path / "source")
    definition = job_pb2.JobDefinition(
        script="train.py",
        snapshot=f"{WORKSPACE}/snapshots/{snapshot}",
        environment=Environment(definition=EnvironmentDefinition(python=THIS_PYTHON)),
        distribution=job_pb2.Distribution(kind=job_pb2.DISTRIBUTION_KIND_PYTORCH, node_count=2, process_count=2),
    )
    run = await scene.submit(definition, f"{WORKSPACE}/computeTargets/two")
    job = await scene.api.job()

    containers = [await start_container(scene.api, job, index, tmp_path) for index in (0, 1)]
    async with asyncio.timeout(SECONDS):
        codes = [await container.wait() for container in containers]
    jobs = Jobs(scene.submitter, address, tmp_path)
    printed = sorted([await jobs.log(run, path) for path in await jobs.logs(run)])
    await close_connections()

    name = job["metadata"]["name"]
    assert codes == [0, 0]
    assert (await scene.submitter.run(run)).status == S.RUN_STATUS_COMPLETED
    assert printed == [f"rank {rank} of 2 {name}-0.{name}\n" for rank in (0, 1)]
