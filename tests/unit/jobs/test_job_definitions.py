"""Definitions of jobs: within their limits, with defaults filled in."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from runstream.api.jobs.v1 import environment_pb2 as environments
from runstream.api.jobs.v1 import job_pb2 as messages
from runstream_server.errors import InvalidField
from runstream_server.jobs.convert.definitions import decode_spec, environment_name
from runstream_server.jobs.limits import Checks
from runstream_server.jobs.model import JobSpec


def decoded(definition: messages.JobDefinition) -> JobSpec:
    checks = Checks()
    spec = decode_spec(checks, definition, "space", None)
    checks.done()
    return spec


def of(**fields: Any) -> messages.JobDefinition:
    return messages.JobDefinition(**{"script": "a.py"} | fields)


def spread(**fields: Any) -> messages.JobDefinition:
    return of(distribution=messages.Distribution(**fields))


def needing(**fields: Any) -> messages.JobDefinition:
    return of(requirements=messages.JobRequirements(**fields))


def boxed(**fields: Any) -> messages.JobDefinition:
    return of(container=messages.ContainerOptions(**fields))


def many(count: int) -> dict[str, str]:
    return {str(n): "" for n in range(count)}


MPI, TENSORFLOW = messages.DISTRIBUTION_KIND_MPI, messages.DISTRIBUTION_KIND_TENSORFLOW
PYTORCH = messages.DISTRIBUTION_KIND_PYTORCH

WITHIN_AND_BEYOND: Sequence[tuple[messages.JobDefinition, messages.JobDefinition]] = [
    (of(script="s" * 1_024), of(script="s" * 1_025)),
    (of(script="a/b.py"), of(script="../b.py")),
    (of(script="", command="c" * 65_536), of(script="", command="c" * 65_537)),
    (of(script="", command="c"), of(command="c")),
    (of(), of(script="")),
    (of(arguments=["a"] * 1_000), of(arguments=["a"] * 1_001)),
    (of(arguments=["a" * 262_144]), of(arguments=["a" * 262_144, "a"])),
    (of(arguments=["\n"]), of(arguments=["\0"])),
    (of(snapshot="workspaces/space/snapshots/x"), of(snapshot="workspaces/other/snapshots/x")),
    (of(environment_variables=many(1_000)), of(environment_variables=many(1_001))),
    (of(environment_variables={"A": "a" * 65_535}), of(environment_variables={"A": "a" * 65_536})),
    (of(environment_variables={"A": ""}), of(environment_variables={"A=": ""})),
    (of(watched_directories=["d"] * 100), of(watched_directories=["d"] * 101)),
    (of(watched_directories=["d"]), of(watched_directories=[""])),
    (of(max_attempts=100), of(max_attempts=101)),
    (of(max_attempts=1), of(max_attempts=-1)),
    (of(termination_grace=Duration(seconds=3_600)), of(termination_grace=Duration(seconds=3_601))),
    (of(termination_grace=Duration()), of(termination_grace=Duration(seconds=-1))),
    (of(priority=1_000), of(priority=1_001)),
    (of(priority=-1_000), of(priority=-1_001)),
    (of(details_json="d" * 262_144), of(details_json="d" * 262_145)),
    (spread(node_count=1_000, process_count=10_000), spread(node_count=1_001)),
    (spread(process_count=10_000), spread(process_count=10_001)),
    (spread(node_count=2, process_count=4), spread(node_count=2, process_count=3)),
    (spread(node_count=2), spread(node_count=2, process_count=1)),
    (spread(kind=TENSORFLOW, parameter_server_count=1_000), spread(kind=TENSORFLOW, parameter_server_count=1_001)),
    (spread(kind=TENSORFLOW, parameter_server_count=1), spread(kind=MPI, parameter_server_count=1)),
    (spread(backend="b" * 64), spread(backend="b" * 65)),
    (spread(kind=MPI), spread(kind=9)),
    (spread(kind=MPI, process_count=4), spread(kind=MPI, node_count=2, process_count=4)),
    (spread(kind=TENSORFLOW, process_count=4), spread(kind=TENSORFLOW, node_count=2, process_count=4)),
    (needing(slots=10_000), needing(slots=10_001)),
    (needing(gpus=1_000), needing(gpus=1_001)),
    (needing(labels=many(99) | {"l": "v" * 255}), needing(labels=many(101))),
    (needing(labels={"l" * 255: ""}), needing(labels={"l" * 256: ""})),
    (needing(labels={"l": "v" * 255}), needing(labels={"l": "v" * 256})),
    (boxed(shm_size="1" * 16), boxed(shm_size="1" * 17)),
    (boxed(arguments=["-v"] * 100), boxed(arguments=["-v"] * 101)),
    (boxed(arguments=["a" * 65_536]), boxed(arguments=["a" * 65_536, "a"])),
    (boxed(arguments=["\n"]), boxed(arguments=["\0"])),
]


@pytest.mark.parametrize(("within", "beyond"), WITHIN_AND_BEYOND)
def test_a_definition_keeps_its_limits(within: messages.JobDefinition, beyond: messages.JobDefinition) -> None:
    decoded(within)

    with pytest.raises(InvalidField):
        decoded(beyond)


def test_defaults_are_filled_in() -> None:
    spec = decoded(spread(kind=PYTORCH, node_count=3))
    whole = messages.JobDefinition.FromString(spec.definition)

    assert (spec.max_attempts, spec.node_count, spec.requirements.slots) == (1, 3, 1)
    assert (whole.distribution.process_count, whole.requirements.slots, whole.max_attempts) == (3, 1, 1)
    assert (list(whole.watched_directories), whole.termination_grace.seconds) == (["logs"], 30)


def test_a_definition_without_distribution_runs_on_one_node() -> None:
    spec = decoded(of())

    assert (spec.node_count, messages.JobDefinition.FromString(spec.definition).HasField("distribution")) == (1, False)


def test_an_environment_of_another_workspace_is_refused() -> None:
    named = environments.Environment(name="workspaces/other/environments/mine")

    with pytest.raises(InvalidField, match="not of workspaces/space"):
        environment_name(of(environment=named), "space")


def test_an_environment_that_is_not_registered_keeps_its_limits() -> None:
    definition = environments.EnvironmentDefinition(environment_variables=many(1_001))

    with pytest.raises(InvalidField, match=r"definition\.environment\.definition\.environment_variables"):
        decoded(of(environment=environments.Environment(definition=definition)))
