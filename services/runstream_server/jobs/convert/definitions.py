"""Definitions of jobs: held to their limits, with defaults filled in."""

from collections.abc import Sequence

from runstream.api.jobs.v1 import job_pb2 as messages
from runstream_server.jobs import limits
from runstream_server.jobs.convert.environments import check_definition, encode_environment
from runstream_server.jobs.convert.folders import watched_folders
from runstream_server.jobs.convert.times import decode_duration, encode_duration
from runstream_server.jobs.limits import Checks
from runstream_server.jobs.model import Environment, JobSpec, Requirements
from runstream_server.names import EnvironmentName
from runstream_server.paths import check_path

_FIELD = "definition"
_LOGS = "logs"
_OF_ONE_NODE = frozenset({messages.DISTRIBUTION_KIND_MPI, messages.DISTRIBUTION_KIND_TENSORFLOW})


def environment_name(definition: messages.JobDefinition, workspace: str) -> EnvironmentName | None:
    """The registered environment that a definition names; None if it names none."""
    if not definition.environment.name:
        return None
    name = EnvironmentName.parse(definition.environment.name, f"{_FIELD}.environment.name")
    if name.workspace != workspace:
        checks = Checks()
        checks.fail(f"{_FIELD}.environment.name", f"{name} is not of workspaces/{workspace}")
        checks.done()
    return name


def decode_spec(
    checks: Checks, definition: messages.JobDefinition, workspace: str, environment: Environment | None
) -> JobSpec:
    """What a job executes, with the registered environment that it names."""
    whole = messages.JobDefinition()
    whole.CopyFrom(definition)
    _check_program(checks, whole)
    _check_surroundings(checks, whole, workspace)
    _fill_distribution(checks, whole)
    whole.max_attempts = checks.number(f"{_FIELD}.max_attempts", whole.max_attempts or 1, 1, limits.ATTEMPTS)
    checks.number(f"{_FIELD}.priority", whole.priority, -limits.PRIORITY, limits.PRIORITY)
    requirements = _fill_requirements(checks, whole)
    if environment is not None:
        whole.environment.CopyFrom(encode_environment(environment))
    elif whole.HasField("environment"):
        check_definition(checks, f"{_FIELD}.environment.definition", whole.environment.definition)
    return JobSpec(
        definition=whole.SerializeToString(),
        requirements=requirements,
        node_count=max(whole.distribution.node_count, 1),
        max_attempts=whole.max_attempts,
        priority=whole.priority,
    )


def _check_program(checks: Checks, definition: messages.JobDefinition) -> None:
    if bool(definition.script) == bool(definition.command):
        checks.fail(_FIELD, "exactly one of script and command is set")
    checks.text(f"{_FIELD}.script", definition.script, limits.SCRIPT)
    checks.sized(f"{_FIELD}.command", definition.command, limits.COMMAND_BYTES)
    _check_arguments(checks, f"{_FIELD}.arguments", definition.arguments, limits.ARGUMENTS, limits.ARGUMENTS_BYTES)
    if definition.script and not checks.violated:
        check_path(definition.script, f"{_FIELD}.script")


def _check_arguments(checks: Checks, field: str, arguments: Sequence[str], most: int, most_bytes: int) -> None:
    checks.count(field, len(arguments), most)
    checks.size(field, arguments, most_bytes)
    if any("\0" in argument for argument in arguments):
        checks.fail(field, "an argument cannot contain the character NUL")


def _check_surroundings(checks: Checks, definition: messages.JobDefinition, workspace: str) -> None:
    prefix = f"workspaces/{workspace}/snapshots/"
    if definition.snapshot and not definition.snapshot.startswith(prefix):
        checks.fail(f"{_FIELD}.snapshot", f"expected {prefix}SNAPSHOT; got {definition.snapshot[:120]!r}")
    checks.text(f"{_FIELD}.snapshot", definition.snapshot, limits.PLACE)
    checks.variables(f"{_FIELD}.environment_variables", definition.environment_variables)
    checks.count(f"{_FIELD}.watched_directories", len(definition.watched_directories), limits.DIRECTORIES)
    folders = watched_folders(checks, f"{_FIELD}.watched_directories", definition.watched_directories)
    definition.watched_directories[:] = folders or [_LOGS]
    checks.text(f"{_FIELD}.container.shm_size", definition.container.shm_size, limits.SHM_SIZE)
    _check_arguments(
        checks,
        f"{_FIELD}.container.arguments",
        definition.container.arguments,
        limits.CONTAINER_ARGUMENTS,
        limits.CONTAINER_ARGUMENTS_BYTES,
    )
    checks.sized(f"{_FIELD}.details_json", definition.details_json, limits.DETAILS_BYTES)
    if definition.HasField("termination_grace"):
        grace = decode_duration(definition.termination_grace)
        checks.duration(f"{_FIELD}.termination_grace", grace, limits.NO_GRACE, limits.MOST_GRACE)
    else:
        definition.termination_grace.CopyFrom(encode_duration(limits.DEFAULT_GRACE))


def _fill_distribution(checks: Checks, definition: messages.JobDefinition) -> None:
    if not definition.HasField("distribution"):
        return
    distribution, field = definition.distribution, f"{_FIELD}.distribution"
    is_tensorflow = distribution.kind == messages.DISTRIBUTION_KIND_TENSORFLOW
    if distribution.kind not in messages.DistributionKind.values():
        checks.fail(f"{field}.kind", "expected a value of DistributionKind")
    nodes = checks.number(f"{field}.node_count", distribution.node_count or 1, 1, limits.NODES)
    processes = checks.number(f"{field}.process_count", distribution.process_count or nodes, 1, limits.PROCESSES)
    if nodes > 1 and distribution.kind in _OF_ONE_NODE:
        checks.fail(f"{field}.node_count", "the processes of MPI and of TensorFlow run on one node; expected 1")
    if processes < nodes or processes % max(nodes, 1):
        checks.fail(f"{field}.process_count", f"expected a multiple of node_count, {nodes}; got {processes}")
    servers = checks.number(
        f"{field}.parameter_server_count", distribution.parameter_server_count, 0, limits.PARAMETER_SERVERS
    )
    if servers and not is_tensorflow:
        checks.fail(f"{field}.parameter_server_count", "only TensorFlow has parameter servers")
    checks.text(f"{field}.backend", distribution.backend, limits.BACKEND)
    distribution.node_count, distribution.process_count = nodes, processes


def _fill_requirements(checks: Checks, definition: messages.JobDefinition) -> Requirements:
    requirements, field = definition.requirements, f"{_FIELD}.requirements"
    requirements.slots = checks.number(f"{field}.slots", requirements.slots or 1, 1, limits.SLOTS)
    return Requirements(
        slots=requirements.slots,
        gpus=checks.number(f"{field}.gpus", requirements.gpus, 0, limits.GPUS),
        labels=checks.labels(f"{field}.labels", requirements.labels),
    )
