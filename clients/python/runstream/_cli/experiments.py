"""Finds experiments, and shows them."""

from collections.abc import Iterator

import click
from rich.text import Text

from runstream._cli import moments
from runstream._cli.output import View
from runstream._cli.run_tables import labels
from runstream._cli.session import Session
from runstream._cli.tables import DIM, Column, fields, listing
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment, ExperimentView
from runstream.core._filters import equals

PAGE_SIZE = 1000


def list_experiments(session: Session, view: ExperimentView.ValueType, query: str = "") -> Iterator[Experiment]:
    """The experiments of the workspace that the filter `query` admits, newest first."""
    request = api.ListExperimentsRequest(parent=session.workspace, view=view, filter=query, page_size=PAGE_SIZE)
    for page in session.services.pages(lambda c: c.runs.ListExperiments, request):
        yield from page.experiments


def find_experiment(session: Session, *, archived_first: bool = False) -> Experiment:
    """The experiment that `-e` or the project folder names, by name or by id.

    Of several with the name it is the active one, or the archived one if there is one and `archived_first` is set.

    Raises:
        UsageError: None is named, or several archived ones have the name.
        ServiceException: There is none; `status_code` is 404.
    """
    if not (name := session.place.experiment):
        raise click.UsageError("Say which experiment: -e NAME.")
    found = list(list_experiments(session, ExperimentView.EXPERIMENT_VIEW_ALL, equals("display_name", name)))
    if not found:
        request = api.GetExperimentRequest(name=f"{session.workspace}/experiments/{name}")
        return session.services.call(lambda c: c.runs.GetExperiment, request).experiment
    active = [each for each in found if not each.HasField("archive_time")]
    archived = [each for each in found if each.HasField("archive_time")]
    candidates = (archived or active) if archived_first else (active or archived)
    if len(candidates) > 1:
        ids = ", ".join(each.name.rpartition("/")[2] for each in candidates)
        raise click.UsageError(f"Several archived experiments are named {name}; say which one by its id: {ids}")
    return candidates[0]


def experiments_table() -> View:
    """Experiment documents, one per line."""
    return listing(
        Column("Experiment", lambda each: Text(each["name"], style="bold")),
        Column("Created", lambda each: moments.ago(each["created_utc"])),
        Column("Archived", lambda each: moments.ago(each["archived_utc"]), rank=1),
        Column("Id", lambda each: each["id"], rank=2),
        Column("Tags", lambda each: Text(", ".join(labels(each["tags"])), style=DIM), rank=3, can_be_cut=True),
        Column("Description", lambda each: each["description"], rank=4, can_be_cut=True),
    )


def experiment_card() -> View:
    """All that is known of one experiment document, a line each."""
    return fields(
        Column("Experiment", lambda each: Text(each["name"], style="bold")),
        Column("Id", lambda each: each["id"]),
        Column("Workspace", lambda each: each["workspace_name"]),
        Column("Created", lambda each: moments.local(each["created_utc"])),
        Column("Changed", lambda each: moments.local(each["updated_utc"])),
        Column("Archived", lambda each: moments.local(each["archived_utc"])),
        Column("Description", lambda each: each["description"]),
        Column("Tags", lambda each: "\n".join(labels(each["tags"]))),
    )
