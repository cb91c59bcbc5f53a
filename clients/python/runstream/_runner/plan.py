"""Which processes a job has on this node, and what tells them of each other."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from runstream._runner.failures import JobFailed
from runstream._runner.nodes import Node, free_ports
from runstream.api.jobs.v1.job_pb2 import (
    DISTRIBUTION_KIND_MPI,
    DISTRIBUTION_KIND_PYTORCH,
    DISTRIBUTION_KIND_TENSORFLOW,
    Distribution,
    JobDefinition,
)

ERROR: Final = "EnvironmentError"


@dataclass(frozen=True)
class PlannedProcess:
    """A process to be started."""

    number: int
    """Among those of all nodes, from 0."""
    name: str
    """For people: `process 0`."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those that only this process has."""
    is_helper: bool = False
    """Whether it is ended when the others are done."""


@dataclass(frozen=True)
class Plan:
    """The processes of a job."""

    count: int
    """On all nodes."""
    processes: list[PlannedProcess]
    """On this one."""
    uses_mpi: bool = False
    """Whether `mpirun` starts them."""


def make_plan(definition: JobDefinition, node: Node) -> Plan:
    """Plans the processes of this node.

    Raises:
        JobFailed: The job needs more nodes than there are.
    """
    wanted = definition.distribution
    nodes = max(wanted.node_count, 1)
    if nodes != node.count:
        raise JobFailed(
            ERROR,
            f"The run needs {nodes} nodes, and is executed on {node.count}: submit it to a compute target that starts "
            "as many.",
        )
    count = wanted.process_count or nodes
    if wanted.kind == DISTRIBUTION_KIND_TENSORFLOW:
        return _tensorflow(wanted, count, node)
    if wanted.kind == DISTRIBUTION_KIND_MPI:
        master = f"{node.master_address}:{node.master_port or free_ports(1)[0]}"
        return Plan(count, _numbered(count, {"AZ_BATCH_MASTER_NODE": master}), uses_mpi=True)
    if wanted.kind == DISTRIBUTION_KIND_PYTORCH:
        return Plan(count, _pytorch(wanted, count, node))
    return Plan(count, _numbered(count, {})[node.index :: node.count])


def _numbered(count: int, variables: Mapping[str, str]) -> list[PlannedProcess]:
    return [PlannedProcess(number, f"process {number}", variables) for number in range(count)]


def _pytorch(wanted: Distribution, count: int, node: Node) -> list[PlannedProcess]:
    here = count // node.count
    port = node.master_port or free_ports(1)[0]
    shared = {
        "MASTER_ADDR": node.master_address,
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(here),
        "NODE_RANK": str(node.index),
        "AZ_BATCH_MASTER_NODE": f"{node.master_address}:{port}",
    }
    if wanted.backend:
        shared["RUNSTREAM_DISTRIBUTED_BACKEND"] = wanted.backend
    return [
        PlannedProcess(rank, f"process {rank}", {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank % here)})
        for rank in range(node.index * here, (node.index + 1) * here)
    ]


def _tensorflow(wanted: Distribution, workers: int, node: Node) -> Plan:
    if node.count > 1:
        raise JobFailed(ERROR, "The processes of a TensorFlow job run on one node.")
    tasks = [("worker", index) for index in range(workers)]
    tasks += [("ps", index) for index in range(wanted.parameter_server_count)]
    ports = iter(free_ports(len(tasks)))
    cluster: dict[str, list[str]] = {}
    for kind, _ in tasks:
        cluster.setdefault(kind, []).append(f"{node.master_address}:{next(ports)}")
    processes = [
        PlannedProcess(number, f"{kind} {index}", {"TF_CONFIG": _tf_config(cluster, kind, index)}, kind == "ps")
        for number, (kind, index) in enumerate(tasks)
    ]
    return Plan(len(tasks), processes)


def _tf_config(cluster: Mapping[str, list[str]], kind: str, index: int) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}, "environment": socket.gethostname()})
