"""A registry is that of one workspace, not of whatever workspaces have its name."""

from dataclasses import replace

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from tests.conftest import Backend
from tests.gateways import Gateway
from tests.stubs import run_history

NOWHERE = "workspaces/nowhere does not exist; create it, or check the spelling"


async def test_a_workspace_that_does_not_exist_has_no_registry(gateway: Gateway) -> None:
    nowhere = replace(gateway, url=gateway.url.replace("/space", "/nowhere"))

    for answer in (
        await nowhere.post("registered-models/create", name="iris"),
        await nowhere.get("registered-models/search"),
        await nowhere.get("model-versions/search"),
        await nowhere.post("model-versions/create", name="iris", source="s3://bucket/model"),
    ):
        assert answer.error == (404, "RESOURCE_DOES_NOT_EXIST", NOWHERE)


async def test_another_workspace_of_the_same_name_begins_with_an_empty_registry(
    gateway: Gateway, backend: Backend
) -> None:
    history = run_history(backend.channel)
    (await gateway.post("registered-models/create", name="iris", tags=[{"key": "k", "value": "v"}])).found()
    (await gateway.post("model-versions/create", name="iris", source="s3://bucket/model")).found()
    await history.DeleteWorkspace(messages.DeleteWorkspaceRequest(name="workspaces/space"))
    assert (await gateway.get("registered-models/get", name="iris")).status == 404
    await history.CreateWorkspace(messages.CreateWorkspaceRequest(workspace_id="space"))

    assert (await gateway.get("registered-models/search")).found() == {"registered_models": []}
    (await gateway.post("registered-models/create", name="iris")).found()
    made = (await gateway.post("model-versions/create", name="iris", source="s3://bucket/other")).found()
    assert made["model_version"]["version"] == "1"
    found = (await gateway.get("registered-models/get", name="iris")).found()["registered_model"]
    assert found["tags"] == []
