"""Which processes jobs have, and what they are told."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runstream._runner.containers import Container
from runstream._runner.failures import JobFailed
from runstream._runner.nodes import Node, this_node
from runstream._runner.output import log_names
from runstream._runner.plan import make_plan
from runstream.api.jobs.v1 import job_pb2

K = job_pb2.DistributionKind
SECOND_OF_TWO = Node(1, 2, "first", 7000)


def definition(**distribution: Any) -> job_pb2.JobDefinition:
    return job_pb2.JobDefinition(script="train.py", distribution=job_pb2.Distribution(**distribution))


def test_a_job_is_one_process_unless_it_says_otherwise() -> None:
    plan = make_plan(definition(), Node())

    assert [(process.number, dict(process.variables)) for process in plan.processes] == [(0, {})]


def test_a_node_has_its_share_of_the_processes() -> None:
    wanted = definition(kind=K.DISTRIBUTION_KIND_PYTORCH, node_count=2, process_count=4)

    plan = make_plan(wanted, SECOND_OF_TWO)

    assert plan.count == 4
    assert [process.variables["RANK"] for process in plan.processes] == ["2", "3"]
    assert [process.variables["LOCAL_RANK"] for process in plan.processes] == ["0", "1"]
    assert {process.variables["MASTER_ADDR"] + process.variables["MASTER_PORT"] for process in plan.processes} == {
        "first7000"
    }


def test_workers_and_parameter_servers_have_a_cluster() -> None:
    wanted = definition(kind=K.DISTRIBUTION_KIND_TENSORFLOW, process_count=2, parameter_server_count=1)

    plan = make_plan(wanted, Node())

    configs = [json.loads(process.variables["TF_CONFIG"]) for process in plan.processes]
    assert [(config["task"]["type"], config["task"]["index"]) for config in configs] == [
        ("worker", 0),
        ("worker", 1),
        ("ps", 0),
    ]
    assert [process.is_helper for process in plan.processes] == [False, False, True]
    hosts = [host for group in configs[0]["cluster"].values() for host in group]
    assert len(set(hosts)) == 3


@pytest.mark.parametrize("node", [Node(), Node(0, 3, "first", 1)])
def test_a_job_for_another_number_of_nodes_fails(node: Node) -> None:
    with pytest.raises(JobFailed, match="needs 2 nodes"):
        make_plan(definition(node_count=2), node)


@pytest.mark.parametrize(
    ("variables", "node"),
    [
        ({}, Node()),
        ({"RUNSTREAM_NODE_COUNT": "1"}, Node()),
        (
            {"RUNSTREAM_NODE_COUNT": "2", "RUNSTREAM_NODE_INDEX": "1", "RUNSTREAM_MASTER_ADDR": "first"},
            Node(1, 2, "first", 29500),
        ),
    ],
)
def test_a_node_is_known_by_its_variables(variables: dict[str, str], node: Node) -> None:
    assert this_node(variables) == node


@pytest.mark.parametrize(
    "variables",
    [
        {"RUNSTREAM_NODE_COUNT": "two"},
        {"RUNSTREAM_NODE_COUNT": "2"},
        {"RUNSTREAM_NODE_COUNT": "2", "RUNSTREAM_NODE_INDEX": "2", "RUNSTREAM_MASTER_ADDR": "first"},
    ],
)
def test_variables_of_no_node_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(JobFailed):
        this_node(variables)


@pytest.mark.parametrize(
    ("count", "attempt", "names"),
    [
        (1, 1, ["std_log.txt"]),
        (1, 2, ["std_log_attempt_2.txt"]),
        (2, 1, ["std_log_process_0.txt", "std_log_process_1.txt"]),
        (2, 3, ["std_log_attempt_3_process_0.txt", "std_log_attempt_3_process_1.txt"]),
    ],
)
def test_each_process_has_a_log_file(count: int, attempt: int, names: list[str]) -> None:
    assert log_names(count, attempt) == names


def test_numbers_of_log_files_are_padded_in_larger_jobs() -> None:
    assert log_names(11, 1)[1] == "std_log_process_01.txt"


def test_a_container_is_told_the_names_of_variables_and_not_their_values() -> None:
    options = job_pb2.ContainerOptions(use_container=True, shm_size="2g", arguments=["--ipc=host"])
    container = Container("/bin/docker", "image:1", options, gpus=2, name="runstream-a")

    command = container.wrap(["python", "train.py"], Path("/work"), {"SECRET": "s3cr3t", "PATH": "/bin"}, 1)

    text = " ".join(command)
    assert text.startswith("/bin/docker run --rm --init --name runstream-a-1 --network host --user ")
    assert "--volume /work:/runstream/work --workdir /runstream/work --env SECRET --shm-size 2g --gpus 2" in text
    assert text.endswith("--ipc=host image:1 python train.py")
    assert "s3cr3t" not in text
    assert container.removal(2) == ["/bin/docker", "rm", "--force", "runstream-a-0", "runstream-a-1"]


def test_a_container_follows_the_token_of_its_run_and_trusts_the_services_by_the_same_file() -> None:
    container = Container("podman", "ml/train:1", job_pb2.ContainerOptions())
    files = {"RUNSTREAM_TOKEN_FILE": "/jobs/run/access/token", "RUNSTREAM_CA_FILE": "/etc/ca.pem"}
    known = {**files, "RUNSTREAM_TOKEN": "t"}

    command = container.wrap(["python"], Path("/jobs/run/work"), known, 0)
    pairs = list(pairwise(command))

    assert ("--volume", "/jobs/run/access:/runstream/access:ro") in pairs
    assert ("--env", "RUNSTREAM_TOKEN_FILE=/runstream/access/token") in pairs
    assert ("--volume", "/etc/ca.pem:/runstream/authorities.pem:ro") in pairs
    assert ("--env", "RUNSTREAM_CA_FILE=/runstream/authorities.pem") in pairs
    assert ("--env", "RUNSTREAM_TOKEN") in pairs
    assert not [part for part in container.wrap(["python"], Path("/work"), {}, 0) if "access" in part]
