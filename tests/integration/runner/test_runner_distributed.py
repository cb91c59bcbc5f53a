"""Jobs of several processes."""

import json
import shutil
import sys
from pathlib import Path

import asyncpg
import pytest

from runstream.api.jobs.v1 import job_pb2
from runstream_server.config import Config
from tests.runners import Gate, Jobs, S, gone

K = job_pb2.DistributionKind

RANKED = """
import os, socket
names = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK", "MASTER_ADDR")
print(*(os.environ[name] for name in names), os.environ["MASTER_PORT"])
"""
MPIRUN = f"""#!{sys.executable}
import os, subprocess, sys
count = int(sys.argv[sys.argv.index("-n") + 1])
command = sys.argv[sys.argv.index("-n") + 2:]
print("launching", flush=True)
ranks = [
    subprocess.Popen(command, env={{**os.environ, "OMPI_COMM_WORLD_RANK": str(rank)}})
    for rank in range(count)
]
sys.exit(max(rank.wait() for rank in ranks))
"""


def process_log(number: int) -> str:
    return f"user_logs/std_log_process_{number}.txt"


async def test_processes_of_pytorch_know_of_each_other(jobs: Jobs) -> None:
    run = await jobs.execute(RANKED, distribution={"kind": K.DISTRIBUTION_KIND_PYTORCH, "process_count": 3})

    assert run.status == S.RUN_STATUS_COMPLETED
    lines = [(await jobs.log(run.name, process_log(rank))).split() for rank in range(3)]
    assert [line[:5] for line in lines] == [["3", str(rank), str(rank), "0", "127.0.0.1"] for rank in range(3)]
    assert len({line[5] for line in lines}) == 1
    statuses = json.loads((await jobs.files(run.name))["azureml-logs/process_status.json"])
    assert [(status["name"], status["status"]) for status in statuses] == [
        (f"process {rank}", "Completed") for rank in range(3)
    ]


async def test_the_first_process_that_fails_ends_the_others(jobs: Jobs, gate: Gate) -> None:
    script = (
        "import os, signal, sys\nprint('begun')\n"
        f"if os.environ['RANK'] == '1':\n    open({gate.path!r}).read()\n    sys.exit(3)\nsignal.pause()\n"
    )
    distribution = {"kind": K.DISTRIBUTION_KIND_PYTORCH, "process_count": 3}
    runner = await jobs.start(await jobs.submit(script, distribution=distribution))
    for rank in range(3):
        await jobs.printed(runner.run, "begun\n", process_log(rank))
    processes = runner.processes()
    gate.open()

    assert await runner.ended() == 10
    await gone(processes)
    run = await jobs.run(runner.run)
    assert run.error.message.startswith("Process 1 ended with exit code 3. The others: process 0 was killed by SIGTERM")
    statuses = json.loads((await jobs.files(run.name))["azureml-logs/process_status.json"])
    assert [(each["status"], each["exitCode"]) for each in statuses] == [
        ("Terminated", -15),
        ("Failed", 3),
        ("Terminated", -15),
    ]


async def test_parameter_servers_end_when_the_workers_are_done(jobs: Jobs) -> None:
    script = (
        "import json, os, signal\nconfig = json.loads(os.environ['TF_CONFIG'])\nprint(json.dumps(config))\n"
        "if config['task']['type'] == 'ps':\n    signal.pause()\n"
    )
    run = await jobs.execute(
        script,
        distribution={"kind": K.DISTRIBUTION_KIND_TENSORFLOW, "process_count": 2, "parameter_server_count": 1},
    )

    assert run.status == S.RUN_STATUS_COMPLETED
    configs = [json.loads(await jobs.log(run.name, process_log(number))) for number in range(2)]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": 0}, {"type": "worker", "index": 1}]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    assert {kind: len(hosts) for kind, hosts in configs[0]["cluster"].items()} == {"worker": 2, "ps": 1}


async def test_mpirun_starts_the_processes_and_each_has_a_log(jobs: Jobs, tmp_path: Path) -> None:
    mpirun = tmp_path / "bin" / "mpirun"
    mpirun.parent.mkdir()
    mpirun.write_text(MPIRUN)
    mpirun.chmod(0o755)
    script = "import os, sys\nrank = os.environ['OMPI_COMM_WORLD_RANK']\nprint('rank', rank)\nsys.exit(int(rank))\n"

    run = await jobs.execute(
        script,
        distribution={"kind": K.DISTRIBUTION_KIND_MPI, "process_count": 2},
        environment_variables={"PATH": f"{mpirun.parent}:/usr/bin:/bin"},
    )

    assert [await jobs.log(run.name, process_log(rank)) for rank in range(2)] == ["rank 0\n", "rank 1\n"]
    assert await jobs.log(run.name, "azureml-logs/70_mpi_log.txt") == "launching\n"
    assert run.error.message.startswith(
        "Process 1 ended with exit code 1. The others: process 0 ended with exit code 0."
    )
    statuses = json.loads((await jobs.files(run.name))["azureml-logs/process_status.json"])
    assert [(each["status"], each["exitCode"]) for each in statuses] == [("Completed", 0), ("Failed", 1)]


@pytest.mark.skipif(shutil.which("ompi_info") is None, reason="Open MPI is not installed: package openmpi-bin")
async def test_open_mpi_starts_the_processes_and_ends_them_with_the_first_that_fails(jobs: Jobs) -> None:
    script = (
        "import os, signal, sys\nrank, size = (os.environ[f'OMPI_COMM_WORLD_{name}'] for name in ('RANK', 'SIZE'))\n"
        "print(rank, size, 'AZ_BATCH_MASTER_NODE' in os.environ)\nrank == '1' and sys.exit(3)\nsignal.pause()\n"
    )

    run = await jobs.execute(script, distribution={"kind": K.DISTRIBUTION_KIND_MPI, "process_count": 2})

    assert [await jobs.log(run.name, process_log(rank)) for rank in range(2)] == ["0 2 True\n", "1 2 True\n"]
    assert "Process 1 ended with exit code 3." in run.error.message


async def test_two_nodes_execute_one_run(jobs: Jobs, services_config: Config) -> None:
    script = f"{RANKED}open(f'outputs/{{os.environ[\"RANK\"]}}', 'w').write('model')\n"
    distribution = {"kind": K.DISTRIBUTION_KIND_PYTORCH, "process_count": 2}
    run = await jobs.submit(script, distribution=distribution)
    await spread(services_config, await jobs.submitter.job(run))

    shared = {"RUNSTREAM_NODE_COUNT": "2", "RUNSTREAM_MASTER_ADDR": "first", "RUNSTREAM_MASTER_PORT": "7000"}
    first = await jobs.start(run, **shared, RUNSTREAM_NODE_INDEX="0")
    second = await jobs.start(run, **shared, RUNSTREAM_NODE_INDEX="1")

    assert [await first.ended(), await second.ended()] == [0, 0]
    assert await jobs.log(run, process_log(0)) == "2 0 0 0 first 7000\n"
    assert await jobs.log(run, process_log(1)) == "2 1 0 1 first 7000\n"
    assert {"outputs/0", "outputs/1"} <= set(await jobs.files(run))


async def spread(config: Config, job: job_pb2.Job) -> None:
    """Has a job execute on two nodes, as only compute targets that have several can."""
    job.definition.distribution.node_count = 2
    connection = await asyncpg.connect(config.postgres.dsn)
    try:
        await connection.execute(
            "UPDATE jobs.job SET definition = $2 WHERE run = $1",
            job.run.rpartition("/")[2],
            job.definition.SerializeToString(),
        )
    finally:
        await connection.close()
