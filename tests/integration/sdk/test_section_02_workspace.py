"""Section 2: workspaces."""

import json
import uuid
from pathlib import Path

import pytest

from runstream.core import Experiment, Run, Workspace
from runstream.exceptions import UserErrorException, WorkspaceException

SCOPE = "/subscriptions/sub/resourceGroups/group/providers/Microsoft.MachineLearningServices/workspaces"


def write_keys(file: Path, workspace: str, **more: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"subscription_id": "sub", "resource_group": "group", "workspace_name": workspace, **more}
    file.write_text(json.dumps(document))


def test_a_workspace_is_had_by_its_name(ws: Workspace) -> None:
    assert Workspace.get(ws.name).name == ws.name
    assert Workspace("sub", "group", ws.name).get_details()["subscriptionId"] == "sub"
    assert Workspace.get(ws.name, subscription_id="sub", resource_group="group").resource_group == "group"
    assert ws.name in Workspace.list("sub")
    assert ws.sku == "basic"


def test_an_unknown_workspace_is_an_error_that_says_how_to_make_it(surroundings: str) -> None:
    with pytest.raises(WorkspaceException, match=r'Workspace\.create\("nowhere"\)'):
        Workspace.get("nowhere")


def test_create_refuses_a_taken_name_unless_told_otherwise(ws: Workspace) -> None:
    with pytest.raises(UserErrorException):
        Workspace.create(ws.name)
    assert Workspace.create(ws.name, exist_ok=True).name == ws.name


@pytest.mark.parametrize("name", ["a", "x" * 34, "with space", "no/slash"])
def test_create_refuses_names_that_are_not_allowed(surroundings: str, name: str) -> None:
    with pytest.raises(UserErrorException):
        Workspace.create(name)


@pytest.mark.parametrize(
    "place", [".azureml/config.json", ".azureml/project.json", "aml_config/config.json", "config.json", "project.json"]
)
def test_a_copied_configuration_is_found_from_folders_below(ws: Workspace, place: str) -> None:
    write_keys(Path(place), ws.name)
    below = Path("a/b")
    below.mkdir(parents=True)

    found = Workspace.from_config(str(below))

    assert (found.name, found.subscription_id, found.resource_group) == (ws.name, "sub", "group")


def test_the_scope_form_of_a_configuration_is_read(ws: Workspace) -> None:
    Path("mine.json").write_text(json.dumps({"Id": None, "Scope": f"{SCOPE}/{ws.name}"}))

    found = Workspace.from_config("mine.json")

    assert (found.name, found.subscription_id, found.resource_group) == (ws.name, "sub", "group")


def test_an_earlier_form_above_wins_over_a_later_form_here(ws: Workspace) -> None:
    write_keys(Path(".azureml/config.json"), ws.name)
    write_keys(Path("below/config.json"), "another")

    assert Workspace.from_config("below").name == ws.name


def test_an_endpoint_in_the_configuration_says_where_the_services_are(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_keys(Path("config.json"), ws.name, endpoint=ws.location)
    monkeypatch.delenv("RUNSTREAM_ADDRESS")

    assert Workspace.from_config().name == ws.name


def test_without_a_configuration_the_error_names_the_folder_and_the_file() -> None:
    with pytest.raises(UserErrorException) as caught:
        Workspace.from_config()

    assert str(Path.cwd()) in caught.value.message
    assert "config.json" in caught.value.message


def test_a_written_configuration_leads_back_to_the_workspace(ws: Workspace) -> None:
    Workspace("sub", "group", ws.name).write_config()

    found = Workspace.from_config()

    assert (found.name, found.subscription_id, found.resource_group) == (ws.name, "sub", "group")


def test_a_run_of_the_workspace_is_had_by_its_id(ws: Workspace, run: Run) -> None:
    assert ws.get_run(run.id).id == run.id


def test_experiments_of_the_workspace_are_had_by_name(ws: Workspace, exp: Experiment) -> None:
    assert {name: found.id for name, found in ws.experiments.items()} == {"digits": exp.id}
    assert "local" in ws.compute_targets
    assert [ws.datastores, ws.datasets, ws.models] == [{}, {}, {}]


def test_update_changes_what_is_given_only(ws: Workspace) -> None:
    ws.update(friendly_name="Vision", description="All of vision", tags={"team": "vision"})

    details = ws.update(description="Vision")

    assert (details["friendlyName"], details["description"]) == ("Vision", "Vision")
    assert Workspace.get(ws.name).tags == {"team": "vision"}


def test_a_workspace_is_deleted_once_it_holds_no_experiment(surroundings: str) -> None:
    empty = Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")
    empty.delete()

    with pytest.raises(WorkspaceException):
        Workspace.get(empty.name)


def test_a_workspace_with_experiments_is_not_deleted(ws: Workspace, exp: Experiment) -> None:
    with pytest.raises(UserErrorException):
        ws.delete()
    assert Workspace.get(ws.name).experiments


def test_a_workspace_shows_its_name_and_its_page(ws: Workspace) -> None:
    assert ws.name in repr(ws)
    assert ws.name in str(ws)
    assert ws.get_portal_url() in ws._repr_html_()
