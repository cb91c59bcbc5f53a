"""Jobs of several nodes of which one fails: why the run failed is what failed first."""

from runstream.api.jobs.v1 import job_pb2
from runstream.api.runs.v1 import run_pb2
from runstream_server.config import Config
from tests.integration.runner.test_runner_distributed import spread
from tests.runners import Jobs, S, gone

NODES = {"RUNSTREAM_NODE_COUNT": "2", "RUNSTREAM_MASTER_ADDR": "first", "RUNSTREAM_MASTER_PORT": "7000"}
LOST_PEER = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
if os.environ["RANK"] == "1":
    raise ValueError("bad data")
signal.sigwait([signal.SIGTERM])  # comes when the other node has told that it failed
raise ConnectionError("reset by peer")
"""
STANDING = """
import os, signal
if os.environ["RANK"] == "1":
    raise ValueError("bad data")
print("begun")
signal.pause()
"""


async def execute_on_two_nodes(jobs: Jobs, config: Config, script: str) -> tuple[run_pb2.Run, list[int]]:
    distribution = {"kind": job_pb2.DISTRIBUTION_KIND_PYTORCH, "process_count": 2}
    run = await jobs.submit(script, distribution=distribution, termination_grace={"seconds": 1})
    await spread(config, await jobs.submitter.job(run))
    runners = [await jobs.start(run, **NODES, RUNSTREAM_NODE_INDEX=str(index)) for index in range(2)]
    codes = [await runner.ended() for runner in runners]
    await gone([process for runner in runners for process in runner.processes()])
    return await jobs.run(run), codes


async def test_what_a_failure_brings_about_on_another_node_is_not_its_cause(
    jobs: Jobs, services_config: Config
) -> None:
    run, codes = await execute_on_two_nodes(jobs, services_config, LOST_PEER)

    assert run.status == S.RUN_STATUS_FAILED
    assert run.error.message.startswith("Node 1: User program failed with ValueError: bad data")
    assert run.error.exception_type == "ValueError"
    assert "bad data" in run.error.stack_trace
    assert codes == [10, 10]


async def test_a_node_that_fails_ends_the_others(jobs: Jobs, services_config: Config) -> None:
    run, codes = await execute_on_two_nodes(jobs, services_config, STANDING)

    assert run.error.message.startswith("Node 1: User program failed with ValueError: bad data")
    assert codes == [10, 10]


async def test_a_node_that_cannot_begin_is_the_cause(jobs: Jobs, services_config: Config) -> None:
    distribution = {"kind": job_pb2.DISTRIBUTION_KIND_PYTORCH, "process_count": 2}
    run = await jobs.submit("import signal\nprint('begun')\nsignal.pause()\n", distribution=distribution)
    await spread(services_config, await jobs.submitter.job(run))
    first = await jobs.start(run, **NODES, RUNSTREAM_NODE_INDEX="0")
    await jobs.printed(run, "begun\n", "user_logs/std_log_process_0.txt")

    second = await jobs.start(run, **(NODES | {"RUNSTREAM_NODE_COUNT": "3"}), RUNSTREAM_NODE_INDEX="1")

    assert [await first.ended(), await second.ended()] == [10, 10]
    failed = await jobs.run(run)
    assert (failed.error.code, failed.error.message.partition(":")[0]) == ("EnvironmentError", "Node 1")
