"""JMESPath queries over run documents."""

import click
import pytest

from runstream._cli.query import compile_query
from runstream._cli.run_document import run_document
from runstream.api.runs.v1.run_pb2 import Run
from runstream.api.runs.v1.workspace_pb2 import Tag


def of_run(name: str, tags: list[Tag], properties: dict[str, str]) -> dict[str, object]:
    return run_document(Run(name=f"workspaces/default/runs/{name}", tags=tags, properties=properties))


RUNS = [
    of_run("both", [Tag(key="quality", value="fantastic run")], {"author": "azureml-user"}),
    of_run("author", [Tag(key="worth another look")], {"author": "azureml-user"}),
    of_run("neither", [], {}),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("[?properties.author=='azureml-user']", ["both", "author"]),
        ("[?tags.keys(@)[?starts_with(@, 'worth another look')]]", ["author"]),
        ("[?properties.author=='azureml-user' && tags.quality=='fantastic run']", ["both"]),
    ],
)
def test_the_published_queries_select_runs(query: str, found: list[str]) -> None:
    assert [run["run_id"] for run in compile_query(query)(RUNS)] == found


def test_the_published_query_for_properties_lists_those_of_all_runs() -> None:
    assert compile_query("[].properties")(RUNS) == [{"author": "azureml-user"}, {"author": "azureml-user"}, {}]


def test_a_query_that_cannot_be_understood_is_refused_with_the_place() -> None:
    with pytest.raises(click.UsageError, match=r"\[\?a=='b'") as refused:
        compile_query("[?a=='b'")

    assert "^" in refused.value.message


def test_a_query_that_does_not_suit_the_result_is_refused() -> None:
    with pytest.raises(click.UsageError, match="keys"):
        compile_query("[].keys(run_id)")(RUNS)
