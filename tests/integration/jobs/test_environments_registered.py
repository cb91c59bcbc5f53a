"""Environments: registered, counted, read, listed."""

import asyncio
from collections.abc import Sequence
from typing import Any

from runstream.api.jobs.v1 import environment_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from tests.append_clients import failure_of
from tests.make_runs import WORKSPACE
from tests.submitted import Submitter


def registration(name: str = "mine", **of_definition: Any) -> messages.RegisterEnvironmentRequest:
    definition = environment_pb2.EnvironmentDefinition(**{"display_name": name} | of_definition)
    return messages.RegisterEnvironmentRequest(parent=WORKSPACE, environment_id=name, definition=definition)


async def registered(submitter: Submitter, name: str = "mine", **of_definition: Any) -> environment_pb2.Environment:
    request = registration(name, **of_definition)
    return (await submitter.stub.RegisterEnvironment(request)).environment  # type: ignore[no-any-return]


def many(count: int) -> dict[str, str]:
    return {str(n): "" for n in range(count)}


async def test_a_version_is_made_for_each_new_definition(submitter: Submitter) -> None:
    variables = {f"v{n}": str(n) for n in range(50)}
    first = await registered(submitter, environment_variables=variables, display_version="9")
    same = await registered(submitter, environment_variables=dict(reversed(variables.items())))
    second = await registered(submitter)
    third = await registered(submitter, environment_variables=variables)

    assert (same, first.definition.display_version) == (first, "1")
    assert [each.name.rpartition("/")[2] for each in (first, second, third)] == ["1", "2", "3"]
    for name, expected in ((first.name, first), (f"{WORKSPACE}/environments/mine", third)):
        got = await submitter.stub.GetEnvironment(messages.GetEnvironmentRequest(name=name))
        assert got.environment == expected


async def test_those_who_register_at_once_get_distinct_versions(submitter: Submitter) -> None:
    made = await asyncio.gather(*(registered(submitter, environment_variables={"N": str(n)}) for n in range(8)))

    assert sorted(each.name.rpartition("/")[2] for each in made) == [str(n) for n in range(1, 9)]


async def test_the_latest_versions_are_listed_by_name(submitter: Submitter) -> None:
    for name in ("b", "a", "c", "b"):
        await registered(submitter, name, environment_variables={"SOME": name})
    await registered(submitter, "b")
    names, token = [], ""
    while True:
        request = messages.ListEnvironmentsRequest(parent=WORKSPACE, page_size=2, page_token=token)
        page = await submitter.stub.ListEnvironments(request)
        names += [each.name.removeprefix(f"{WORKSPACE}/environments/") for each in page.environments]
        if not (token := page.next_page_token):
            break

    assert names == ["a/versions/1", "b/versions/2", "c/versions/1"]


async def test_a_page_of_large_environments_ends_early_and_misses_none(submitter: Submitter) -> None:
    large = environment_pb2.ImageDefinition(dockerfile="#" * 262_144)
    python = environment_pb2.PythonDefinition(conda_specification="#" * 262_144)
    for number in range(10):
        await registered(submitter, f"e{number}", image=large, python=python)
    counts, token = [], ""
    while True:
        page = await submitter.stub.ListEnvironments(
            messages.ListEnvironmentsRequest(parent=WORKSPACE, page_token=token)
        )
        counts.append(len(page.environments))
        if not (token := page.next_page_token):
            break

    assert (sum(counts), len(counts) > 1) == (10, True)


async def test_what_is_not_registered_is_not_found(submitter: Submitter) -> None:
    await registered(submitter)
    names = [f"{WORKSPACE}/environments/none", f"{WORKSPACE}/environments/mine/versions/2"]
    calls = [submitter.stub.GetEnvironment(messages.GetEnvironmentRequest(name=name)) for name in names]

    assert {(await failure_of(call)).reason for call in calls} == {"ENVIRONMENT_NOT_FOUND"}
    for call in (
        submitter.stub.GetEnvironment(messages.GetEnvironmentRequest(name="workspaces/none/environments/mine")),
        submitter.stub.ListEnvironments(messages.ListEnvironmentsRequest(parent="workspaces/none")),
        submitter.stub.RegisterEnvironment(
            messages.RegisterEnvironmentRequest(
                parent="workspaces/none", environment_id="mine", definition=registration().definition
            )
        ),
    ):
        assert (await failure_of(call)).reason == "WORKSPACE_NOT_FOUND"


image, python = environment_pb2.ImageDefinition, environment_pb2.PythonDefinition

WITHIN_AND_BEYOND: Sequence[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "n" * 255}, {"name": "n" * 256}),
    ({"name": "0.a_b-C"}, {"name": "_a"}),
    ({"name": "my-azureml"}, {"name": "AzureML-mine"}),
    ({"name": "x"}, {"name": "mICROSOFTx"}),
    ({"display_name": "d /" * 85}, {"display_name": "d /" * 85 + "d"}),
    ({"image": image(reference="r" * 1_000)}, {"image": image(reference="r" * 1_001)}),
    ({"image": image(dockerfile="FROM x")}, {"image": image(dockerfile="FROM x", reference="x")}),
    ({"image": image(dockerfile="#" * 262_144)}, {"image": image(dockerfile="#" * 262_145)}),
    ({"python": python(conda_specification="#" * 262_144)}, {"python": python(conda_specification="#" * 262_145)}),
    ({"environment_variables": many(1_000)}, {"environment_variables": many(1_001)}),
    ({"environment_variables": {"A": "a" * 65_535}}, {"environment_variables": {"A": "a" * 65_536}}),
    ({}, {"environment_variables": {"A=B": ""}}),
    ({}, {"display_name": ""}),
]


async def test_an_environment_keeps_its_limits(submitter: Submitter) -> None:
    failures = []
    for within, beyond in WITHIN_AND_BEYOND:
        await registered(submitter, **{"display_name": "d"} | within)
        request = registration(**{"display_name": "d"} | beyond)
        failures.append(await failure_of(submitter.stub.RegisterEnvironment(request)))

    assert {failure.reason for failure in failures} == {"INVALID_FIELD"}
