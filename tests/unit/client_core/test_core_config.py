"""Section 2: the configuration file of a workspace."""

import json
from pathlib import Path

import pytest

from runstream.core._config import WorkspaceConfig, find_config, read_config, write_config
from runstream.exceptions import UserErrorException

SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


def put(file: Path, content: object = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content or {}))
    return file


def test_a_path_that_is_a_file_is_taken(tmp_path: Path) -> None:
    file = put(tmp_path / "other.json")

    assert find_config(str(file), None) == file


def test_forms_are_tried_in_order(tmp_path: Path) -> None:
    forms = [
        ".runstream/config.json",
        ".runstream/project.json",
        ".azureml/config.json",
        ".azureml/project.json",
        "aml_config/config.json",
        "aml_config/project.json",
        "config.json",
        "project.json",
    ]
    files = [put(tmp_path / form) for form in forms]

    for file in files:
        assert find_config(str(tmp_path), None) == file
        file.unlink()


def test_a_form_is_looked_for_up_to_the_root_before_the_next_form(tmp_path: Path) -> None:
    above = put(tmp_path / ".azureml" / "config.json")
    put(tmp_path / "project" / "config.json")

    assert find_config(str(tmp_path / "project"), None) == above


def test_the_current_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path / "config.json")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    assert find_config(None, None) == file


def test_another_file_name_can_be_asked_for(tmp_path: Path) -> None:
    put(tmp_path / ".azureml" / "config.json")
    file = put(tmp_path / ".azureml" / "test.json")

    assert find_config(str(tmp_path), "test.json") == file


def test_nothing_found_names_the_folder_the_file_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException) as caught:
        find_config(str(tmp_path), None)

    for text in (str(tmp_path), ".runstream/config.json", "write_config", "runstream up"):
        assert text in caught.value.message


def test_both_forms_are_read(tmp_path: Path) -> None:
    keys = put(tmp_path / "a", {"subscription_id": "s", "resource_group": "g", "workspace_name": "w"})
    scope = put(tmp_path / "b", {"Id": None, "Scope": SCOPE})

    assert read_config(keys) == read_config(scope) == WorkspaceConfig("w", "s", "g")


def test_an_endpoint_is_read(tmp_path: Path) -> None:
    file = put(tmp_path / "a", {"Id": None, "Scope": SCOPE, "endpoint": "h:1"})

    assert read_config(file).endpoint == "h:1"


@pytest.mark.parametrize(
    "content",
    [
        {"subscription_id": "s", "resource_group": "g"},
        {"workspace_name": "w"},
        {"Id": None, "Scope": "/somewhere"},
        {"Id": None, "Scope": None},
        ["a list"],
    ],
)
def test_what_cannot_be_understood_is_a_user_error_that_names_the_file(tmp_path: Path, content: object) -> None:
    file = put(tmp_path / "config.json", content)

    with pytest.raises(UserErrorException, match=r"config\.json"):
        read_config(file)


def test_what_is_no_json_is_a_user_error(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b"\xff{")

    with pytest.raises(UserErrorException, match="cannot be read"):
        read_config(file)


@pytest.mark.parametrize("config", [WorkspaceConfig("w", "s", "g"), WorkspaceConfig("w", "", "", "h:1")])
def test_what_is_written_is_found_and_read_back(tmp_path: Path, config: WorkspaceConfig) -> None:
    write_config(config, str(tmp_path), None)

    assert read_config(find_config(str(tmp_path), None)) == config


def test_the_second_form_is_written(tmp_path: Path) -> None:
    file = write_config(WorkspaceConfig("w", "s", "g"), str(tmp_path), None)

    assert file == tmp_path / ".runstream" / "config.json"
    assert json.loads(file.read_text()) == {"Id": None, "Scope": SCOPE}
