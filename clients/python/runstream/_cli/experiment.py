"""The commands of `runstream experiment`."""

from collections.abc import Sequence

import click
from google.protobuf.field_mask_pb2 import FieldMask

from runstream._cli.changes import field_mask, parse_tags, refuse_no_change, tag_options
from runstream._cli.commands import Group
from runstream._cli.confirmation import confirm, yes_option
from runstream._cli.documents import experiment_document
from runstream._cli.experiments import experiment_card, experiments_table, find_experiment, list_experiments
from runstream._cli.session import Session, pass_session
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment, ExperimentView

VIEWS = {
    "active": ExperimentView.EXPERIMENT_VIEW_ACTIVE_ONLY,
    "archived": ExperimentView.EXPERIMENT_VIEW_ARCHIVED_ONLY,
    "all": ExperimentView.EXPERIMENT_VIEW_ALL,
}


@click.group(cls=Group)
def experiment() -> None:
    """List and change experiments.

    -e says which one: its name, or its id.
    """


@experiment.command("list", epilog="Example: runstream experiment list --view all --query '[].name' -o tsv")
@click.option("--view", type=click.Choice(list(VIEWS)), default="active", show_default=True, help="Which ones.")
@pass_session
def list_(session: Session, view: str) -> None:
    """List the experiments of the workspace, newest first."""
    found = list(list_experiments(session, VIEWS[view]))
    if not found:
        session.say(f"Workspace {session.place.workspace} has no such experiments.")
    session.show([experiment_document(each) for each in found], experiments_table())


@experiment.command(epilog="Example: runstream experiment show -e digits")
@pass_session
def show(session: Session) -> None:
    """Show an experiment."""
    session.show(experiment_document(find_experiment(session)), experiment_card())


@experiment.command(epilog="Example: runstream experiment archive -e digits")
@pass_session
def archive(session: Session) -> None:
    """Hide an experiment from the usual listing. Its runs stay readable, its name becomes free."""
    request = api.ArchiveExperimentRequest(name=find_experiment(session).name)
    archived = session.services.call(lambda c: c.runs.ArchiveExperiment, request).experiment
    session.show(experiment_document(archived), experiment_card())


@experiment.command(epilog="Example: runstream experiment reactivate -e digits")
@pass_session
def reactivate(session: Session) -> None:
    """Make an archived experiment active again."""
    request = api.ReactivateExperimentRequest(name=find_experiment(session, archived_first=True).name)
    active = session.services.call(lambda c: c.runs.ReactivateExperiment, request).experiment
    session.show(experiment_document(active), experiment_card())


@experiment.command(epilog="Example: runstream experiment update -e digits --description 'Handwritten digits'")
@tag_options
@click.option("--name", metavar="NAME", help="Renames it.")
@click.option("--description", metavar="TEXT", help="Free text.")
@pass_session
def update(
    session: Session, add_tag: Sequence[str], remove_tag: Sequence[str], name: str | None, description: str | None
) -> None:
    """Change tags, name or description of an experiment."""
    mask = field_mask(display_name=name, description=description)
    refuse_no_change(mask, add_tag, remove_tag)
    found = find_experiment(session)
    if add_tag or remove_tag:
        tags = api.ModifyTagsRequest(name=found.name, set=parse_tags(add_tag), remove=remove_tag)
        session.services.call(lambda c: c.runs.ModifyTags, tags)
    changed = Experiment(name=found.name, display_name=name or "", description=description or "")
    session.show(experiment_document(_update(session, changed, mask)), experiment_card())


@experiment.command(epilog="Example: runstream experiment delete -e digits --yes")
@yes_option
@pass_session
def delete(session: Session, yes: bool) -> None:
    """Delete an experiment for good. It must hold no run; one that does can be archived."""
    found = find_experiment(session)
    confirm(f"Delete experiment {found.display_name} for good?", yes)
    session.services.call(lambda c: c.runs.DeleteExperiment, api.DeleteExperimentRequest(name=found.name))
    session.say(f"Experiment {found.display_name} was deleted.")


def _update(session: Session, changed: Experiment, mask: FieldMask) -> Experiment:
    if not mask.paths:
        request = api.GetExperimentRequest(name=changed.name)
        return session.services.call(lambda c: c.runs.GetExperiment, request).experiment
    update_request = api.UpdateExperimentRequest(experiment=changed, update_mask=mask)
    return session.services.call(lambda c: c.runs.UpdateExperiment, update_request).experiment
