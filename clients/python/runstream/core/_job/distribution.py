"""How several processes of a job work together."""

from runstream.api.jobs.v1 import job_pb2 as messages
from runstream.core._job.checks import whole_number
from runstream.core._job.run_configuration import RunConfigurationSettings
from runstream.core._job.sections import (
    DistributedJobConfiguration,
    MpiConfiguration,
    ParallelTaskConfiguration,
    PyTorchConfiguration,
    TensorflowConfiguration,
)
from runstream.core._job.settings import logger
from runstream.exceptions import RunConfigurationException

MPI = ("OpenMpi", "IntelMpi")
TORCH = ("Nccl", "Gloo")


def distribute(configuration: RunConfigurationSettings, job: DistributedJobConfiguration | None) -> None:
    """Sets in a run configuration how processes work together.

    Raises:
        RunConfigurationException: `job` is of no such type.
    """
    match job:
        case None:
            return
        case MpiConfiguration():
            configuration.framework, configuration.communicator = "Python", "IntelMpi"
            configuration.mpi, configuration.node_count = job, job.node_count
        case PyTorchConfiguration():
            configuration.framework, configuration.communicator = "PyTorch", job.communication_backend
            configuration.pytorch, configuration.node_count = job, job.node_count
        case TensorflowConfiguration():
            configuration.framework, configuration.communicator = "TensorFlow", "ParameterServer"
            configuration.tensorflow, configuration.node_count = job, job.worker_count
        case ParallelTaskConfiguration():
            configuration.framework, configuration.communicator = "Python", "ParallelTask"
            configuration.parallel_task, configuration.node_count = job, job.node_count
        case _:
            raise RunConfigurationException(
                "distributed_job_config must be an MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration or "
                f"ParallelTaskConfiguration, not {type(job).__name__}."
            )


def encode_distribution(configuration: RunConfigurationSettings) -> messages.Distribution | None:
    """How processes work together; None for one process.

    Raises:
        RunConfigurationException: The numbers do not fit each other.
    """
    distribution = _distribution(configuration)
    if distribution is not None:
        _check(distribution)
    return distribution


def _distribution(configuration: RunConfigurationSettings) -> messages.Distribution | None:
    nodes = whole_number("node_count", configuration.node_count)
    match configuration.communicator:
        case "OpenMpi" | "IntelMpi":
            per_node = whole_number("process_count_per_node", configuration.mpi.process_count_per_node)
            return _spread(messages.DISTRIBUTION_KIND_MPI, nodes, per_node * nodes)
        case "Nccl" | "Gloo":
            count = configuration.pytorch.process_count
            processes = nodes if count is None else whole_number("process_count", count)
            made = _spread(messages.DISTRIBUTION_KIND_PYTORCH, nodes, processes)
            made.backend = configuration.communicator.lower()
            return made
        case "ParameterServer":
            return _tensorflow(configuration)
        case "ParallelTask":
            per_node = whole_number("worker_count_per_node", configuration.parallel_task.worker_count_per_node)
            return _spread(messages.DISTRIBUTION_KIND_UNSPECIFIED, nodes, per_node * nodes)
    if configuration.framework in ("PySpark", "CNTK"):
        logger.warning("Framework %s is not known here: the script is executed by Python.", configuration.framework)
    return _spread(messages.DISTRIBUTION_KIND_UNSPECIFIED, nodes, nodes) if nodes > 1 else None


def _tensorflow(configuration: RunConfigurationSettings) -> messages.Distribution:
    """Workers and parameter servers; all of them are on one node, whatever `node_count` says."""
    workers = whole_number("worker_count", configuration.tensorflow.worker_count)
    made = _spread(messages.DISTRIBUTION_KIND_TENSORFLOW, 1, workers)
    made.parameter_server_count = whole_number(
        "parameter_server_count", configuration.tensorflow.parameter_server_count, least=0
    )
    return made


def _spread(kind: messages.DistributionKind.ValueType, nodes: int, processes: int) -> messages.Distribution:
    return messages.Distribution(kind=kind, node_count=nodes, process_count=processes)


def _check(distribution: messages.Distribution) -> None:
    if distribution.kind == messages.DISTRIBUTION_KIND_MPI and distribution.node_count > 1:
        raise RunConfigurationException(
            f"The processes of an MPI job run on one node here, not on {distribution.node_count}: set node_count to 1 "
            "and process_count_per_node to as many as there are to be, or use a PyTorchConfiguration."
        )
    if distribution.process_count % distribution.node_count:
        raise RunConfigurationException(
            f"{distribution.process_count} processes cannot be divided evenly among {distribution.node_count} nodes: "
            "process_count counts those of all nodes together."
        )
