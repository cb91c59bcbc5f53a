"""Programs of all kinds show their token: forked ones, those that were offline, agents, and jobs of several nodes."""

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from runstream.api.jobs.v1 import job_pb2
from runstream.api.runs.v1.run_history_service_pb2 import GetOwnTokenRequest
from runstream_server.auth import Role
from runstream_server.config import Config
from tests import stubs
from tests.conditions import until_answered
from tests.connected_agents import make_pool
from tests.guarded import outcome
from tests.integration.runner.test_runner_distributed import spread
from tests.integration.runner.test_runner_nodes import NODES
from tests.integration.tokens.conftest import Guarded, Issued
from tests.make_runs import WORKSPACE, make_run
from tests.runners import Gate, Jobs, S
from tests.spools import Spools, values

RUNSTREAM = str(Path(sys.executable).with_name("runstream"))
SECONDS = 60.0

FORKED = """
import os, sys
from runstream.core import Run, Workspace
run = Run.get(Workspace.get("space"), sys.argv[1])
child = os.fork()
if not child:
    run.tag("forked", "yes")
    run.log("loss", 0.5)
    run.flush()
    os._exit(0)
assert os.waitpid(child, 0) == (child, 0)
print(run.get_tags(), run.get_metrics())
"""

OFFLINE = """
from runstream.core import Experiment, Workspace
with Experiment(Workspace.get("space"), "digits").start_logging(run_id="recorded-offline") as run:
    run.log("loss", 0.25)
"""

TELLING = """
import os
print([name for name, value in os.environ.items() if os.environ["AGENT"][::-1] in value])
print(os.environ["RUNSTREAM_TOKEN"][:4])
"""

TWO = """
import os, sys
from runstream.core import Run
open(f"{sys.argv[1]}/{os.environ['RANK']}/gate").read()
Run.get_context(allow_offline=False).tag("node" + os.environ["RANK"])
"""


async def played(guarded: Guarded, code: str, *arguments: str, **variables: str) -> tuple[int, str]:
    """Runs a program; its exit code, and what it said."""
    environment = {**os.environ, "RUNSTREAM_ADDRESS": guarded.address, **variables}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", code, *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_a_forked_process_shows_the_token_of_its_parent(guarded: Guarded, writer: Issued) -> None:
    run = await make_run(guarded.channel, "of-a-forked-process")

    code, said = await played(guarded, FORKED, run.rpartition("/")[2])

    assert (code, said) == (0, "{'forked': 'yes'} {'loss': 0.5}\n")


async def test_what_was_recorded_offline_is_synced_with_the_token_of_who_does_so(
    guarded: Guarded, writer: Issued, machine: Spools, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    offline = f"import os\nos.chdir({str(tmp_path / 'folder')!r})\n{OFFLINE}"
    recorded = await played(guarded, offline, RUNSTREAM_MODE="offline", RUNSTREAM_TOKEN="")
    syncing = "import sys\nsys.argv = ['runstream', 'sync']\nfrom runstream._cli import main\nmain()\n"
    refused, said = await played(guarded, syncing, RUNSTREAM_TOKEN="")
    synced, _ = await played(guarded, syncing)

    assert recorded == (0, "")
    assert refused
    assert "--token-stdin" in said
    assert synced == 0
    assert await values(guarded.channel, "workspaces/space/runs/recorded-offline", "loss") == [0.25]


@asynccontextmanager
async def agent(guarded: Guarded, pool: str, **variables: str) -> AsyncIterator[asyncio.StreamReader]:
    """An agent of a new compute target; what it says."""
    await make_pool(guarded.channel, pool)
    process = await asyncio.create_subprocess_exec(
        *(RUNSTREAM, "agent", "start", "-w", "space", "--target", pool, "--address", guarded.address),
        env={**os.environ, **variables},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        await says(process.stderr, "connected as")
        yield process.stderr
    finally:
        process.terminate()
        await process.communicate()


async def says(lines: asyncio.StreamReader, text: str) -> None:
    """Waits until a program says something."""
    async with asyncio.timeout(SECONDS):
        while text not in (await lines.readline()).decode():
            assert not lines.at_eof()


async def test_an_agent_keeps_its_token_from_scripts_and_goes_on_with_the_next_one_in_its_file(
    jobs: Jobs, guarded: Guarded, tmp_path: Path
) -> None:
    file, first = tmp_path / "token", await guarded.issue()
    file.write_text(first.secret)
    of_agent = {"RUNSTREAM_TOKEN_FILE": str(file), "RUNSTREAM_TOKEN": first.secret, "AGENT": first.secret[::-1]}
    definition = job_pb2.JobDefinition(command=shlex.join([sys.executable, "-c", TELLING]))
    async with agent(guarded, "tokens-pool", **of_agent) as lines:
        submitted = await jobs.submitter.submit(definition, compute_target=f"{WORKSPACE}/computeTargets/tokens-pool")
        await jobs.printed(submitted.run.name, "rsr_")
        await guarded.tokens.revoke(first.name)
        await says(lines, "not connected")
        await says(lines, "not connected")
        file.write_text((await guarded.issue()).secret)
        await says(lines, "connected as")

    assert await jobs.log(submitted.run.name) == "[]\nrsr_\n"


async def test_each_node_of_a_job_renews_its_own_token(
    jobs: Jobs, guarded: Guarded, services_config: Config, tmp_path: Path
) -> None:
    gates = [gate_in(tmp_path / str(index)) for index in range(2)]
    distribution = {"kind": job_pb2.DISTRIBUTION_KIND_PYTORCH, "process_count": 2}
    name = await jobs.submit(TWO, arguments=[str(tmp_path)], distribution=distribution)
    await spread(services_config, await jobs.submitter.job(name))
    handed = await guarded.issue(Role.RUN, run=name.rpartition("/")[2])
    runners = [
        await jobs.start(name, **NODES, RUNSTREAM_NODE_INDEX=str(index), RUNSTREAM_TOKEN=handed.secret)
        for index in range(2)
    ]
    async with guarded.showing(handed.secret) as channel:
        await until_answered(lambda: is_refused(channel))
    for gate in gates:
        await asyncio.to_thread(gate.open)

    assert [await runner.ended() for runner in runners] == [0, 0]
    run = await jobs.run(name)
    assert run.status == S.RUN_STATUS_COMPLETED
    assert sorted(tag.key for tag in run.tags) == ["node0", "node1"]


def gate_in(folder: Path) -> Gate:
    folder.mkdir()
    return Gate(folder)


async def is_refused(channel: grpc.aio.Channel) -> bool:
    """Whether the services take the token of a channel no more."""
    return await outcome(stubs.run_history(channel).GetOwnToken(GetOwnTokenRequest())) != "OK"
