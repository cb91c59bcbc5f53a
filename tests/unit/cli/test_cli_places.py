"""Where a command works: from options, the project folder, the environment and the login."""

import json
from pathlib import Path

import pytest

from runstream._channel.address import find_address_and_source, forget_login, store_login
from runstream._cli.place import Place, find_place
from runstream._cli.settings import Settings
from runstream.exceptions import UserErrorException

ADDRESS = "127.0.0.1:7878"
SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/vision"


@pytest.fixture(autouse=True)
def login(elsewhere: Path) -> None:
    store_login(ADDRESS)


def write(folder: Path, document: object, place: str = ".runstream") -> None:
    (folder / place).mkdir(parents=True)
    (folder / place / "config.json").write_text(json.dumps(document))


def test_without_anything_it_is_the_default_workspace_and_no_experiment() -> None:
    assert find_place(Settings()) == Place("default", None, ADDRESS, "runstream login")


@pytest.mark.parametrize("place", [".runstream", ".azureml"])
@pytest.mark.parametrize(
    "document",
    [
        {"Id": None, "Scope": f"{SCOPE}/projects/digits"},
        {"subscription_id": "s", "resource_group": "g", "workspace_name": "vision", "experiment_name": "digits"},
    ],
)
def test_a_project_folder_says_where_for_all_folders_below_it(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, place: str, document: object
) -> None:
    write(elsewhere, document, place)
    below = elsewhere / "src" / "model"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert find_place(Settings()) == Place("vision", "digits", ADDRESS, "runstream login")


def test_an_unrelated_configuration_file_is_left_alone(elsewhere: Path) -> None:
    (elsewhere / "config.json").write_text('{"hidden_size": 768}')

    assert find_place(Settings()).workspace == "default"


def test_options_win_over_the_project_folder(elsewhere: Path) -> None:
    write(elsewhere, {"Scope": f"{SCOPE}/projects/digits", "endpoint": "project:1"})

    assert find_place(Settings(workspace_name="vision", experiment_name="cats", address="option:1")) == Place(
        "vision", "cats", "option:1", "--address"
    )


def test_the_experiment_of_the_project_folder_counts_only_in_its_workspace(elsewhere: Path) -> None:
    write(elsewhere, {"Scope": f"{SCOPE}/projects/digits"})

    assert find_place(Settings(workspace_name="other")).experiment is None


def test_an_endpoint_in_the_project_folder_wins_over_the_login(elsewhere: Path) -> None:
    write(elsewhere, {"Scope": SCOPE, "endpoint": "project:1"})

    assert find_place(Settings()) == Place("vision", None, "project:1", "the project folder")


def test_a_path_that_is_named_must_be_a_project_folder(elsewhere: Path) -> None:
    with pytest.raises(UserErrorException, match=r"\.runstream/config\.json"):
        find_place(Settings(path=str(elsewhere)))


def test_the_environment_wins_over_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_ADDRESS", "environment:1")

    assert find_address_and_source() == ("environment:1", "RUNSTREAM_ADDRESS")


def test_a_login_that_is_forgotten_gives_no_address_any_more() -> None:
    assert forget_login()
    assert not forget_login()
    with pytest.raises(UserErrorException, match="runstream login"):
        find_place(Settings())
