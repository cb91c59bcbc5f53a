"""Which runs a command is about, as a filter of the service."""

from pathlib import Path

import pytest
from click import UsageError

from runstream._cli.artifact import plan
from runstream._cli.changes import parse_tags
from runstream._cli.run.options import STATUSES
from runstream._cli.run.selection import Selection
from runstream.api.runs.v1.run_pb2 import RunStatus
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream.core._status import status_name
from runstream.exceptions import ServiceException, UserErrorException


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (Selection(), "NOT parent:*"),
        (Selection(include_children=True), ""),
        (Selection(experiment="digits"), 'NOT parent:* AND experiment = "digits"'),
        (Selection(parent="p", experiment="digits"), 'parent = "p"'),
        (Selection(pipeline="p"), 'properties."azureml.pipelinerunid" = "p"'),
        (Selection(status="Failed", target="local"), 'NOT parent:* AND target = "local" AND status = "Failed"'),
        (Selection(tags=("k=v", "mark", "e=")), 'NOT parent:* AND tags."k" = "v" AND tags."mark":* AND tags."e" = ""'),
        (Selection(tags=('say "hi"=a*b=c',)), 'NOT parent:* AND tags."say \\"hi\\"" = "a\\*b=c"'),
        (Selection(filter="number > 3 OR number < 2"), "number > 3 OR number < 2 AND NOT parent:*"),
    ],
)
def test_a_selection_is_a_filter_of_the_service(selection: Selection, text: str) -> None:
    assert selection.to_filter() == text


def test_every_status_can_be_asked_for() -> None:
    assert sorted(STATUSES) == sorted(status_name(value) for value in RunStatus.values() if value)


def test_tags_are_given_with_and_without_values_and_the_last_of_a_key_wins() -> None:
    assert parse_tags(["a", "b=", "c=1=2", "d=1", "d"]) == [
        Tag(key="a"),
        Tag(key="b", value=""),
        Tag(key="c", value="1=2"),
        Tag(key="d"),
    ]


NAMES = ["logs/a.txt", "outputs/deep/b.txt", "outputs/model.bin", "outputs2/model.bin", "top.txt"]


@pytest.mark.parametrize(
    ("paths", "targets"),
    [
        ([], {name: f"to/{name}" for name in NAMES}),
        (["outputs/model.bin"], {"outputs/model.bin": "to/model.bin"}),
        (["outputs/"], {"outputs/deep/b.txt": "to/outputs/deep/b.txt", "outputs/model.bin": "to/outputs/model.bin"}),
        (["outputs/deep", "top.txt"], {"outputs/deep/b.txt": "to/deep/b.txt", "top.txt": "to/top.txt"}),
    ],
)
def test_files_are_written_where_cp_would_write_them(paths: list[str], targets: dict[str, str]) -> None:
    assert plan(NAMES, paths, Path("to")) == {Path(target): name for name, target in targets.items()}


def test_a_path_that_the_run_does_not_have_is_not_found() -> None:
    with pytest.raises(ServiceException) as missing:
        plan(NAMES, ["output"], Path())

    assert missing.value.status_code == 404


def test_two_files_are_never_written_to_the_same_place() -> None:
    with pytest.raises(UsageError, match=r"model\.bin"):
        plan(NAMES, ["outputs/model.bin", "outputs2/model.bin"], Path())


@pytest.mark.parametrize("name", ["../../.bashrc", "/etc/passwd", "outputs/../../x"])
def test_a_file_that_leads_out_of_the_folder_is_not_written(name: str) -> None:
    with pytest.raises(UserErrorException, match="below a folder"):
        plan([name], [], Path("here"))
