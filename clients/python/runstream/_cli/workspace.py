"""The commands of `runstream workspace`."""

from collections.abc import Iterator, Sequence

import click
from rich.text import Text

from runstream._cli import moments
from runstream._cli.changes import field_mask, parse_tags, refuse_no_change, tag_options
from runstream._cli.commands import Group
from runstream._cli.confirmation import confirm, yes_option
from runstream._cli.documents import workspace_document
from runstream._cli.run_tables import labels
from runstream._cli.session import Session, pass_session
from runstream._cli.tables import DIM, Column, fields, listing
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.workspace_pb2 import Tag, Workspace

PAGE_SIZE = 1000


@click.group(cls=Group)
def workspace() -> None:
    """List, create and change workspaces.

    -w says which one. Default: that of the project folder, else `default`.
    """


@workspace.command("list", epilog="Example: runstream workspace list -o table")
@pass_session
def list_(session: Session) -> None:
    """List the workspaces by name."""
    session.show([workspace_document(each) for each in _all(session)], TABLE)


@workspace.command(epilog="Example: runstream workspace show -w vision")
@pass_session
def show(session: Session) -> None:
    """Show a workspace."""
    session.show(workspace_document(_get(session)), CARD)


@workspace.command(epilog="Example: runstream workspace create -w vision --description 'All that sees'")
@click.option("--display-name", default="", metavar="TEXT", help="The name shown to people. Default: its name.")
@click.option("--description", default="", metavar="TEXT", help="Free text.")
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="Sets a tag. May be repeated.")
@click.option("--exist-ok", is_flag=True, help="A workspace that exists is left as it is, and is no error.")
@pass_session
def create(session: Session, display_name: str, description: str, tags: Sequence[str], exist_ok: bool) -> None:
    """Create a workspace. Its name, -w, has 3 to 33 letters, digits, `-` and `_`."""
    if not session.settings.workspace_name:
        raise click.UsageError("Name the workspace: -w NAME.")
    request = api.CreateWorkspaceRequest(
        workspace_id=session.place.workspace,
        workspace=Workspace(display_name=display_name, description=description, tags=parse_tags(tags)),
        return_existing=exist_ok,
    )
    made = session.services.call(lambda c: c.runs.CreateWorkspace, request).workspace
    session.show(workspace_document(made), CARD)


@workspace.command(epilog="Example: runstream workspace update -w vision --display-name Vision --remove-tag old")
@tag_options
@click.option("--display-name", metavar="TEXT", help="The name shown to people.")
@click.option("--description", metavar="TEXT", help="Free text.")
@pass_session
def update(
    session: Session,
    add_tag: Sequence[str],
    remove_tag: Sequence[str],
    display_name: str | None,
    description: str | None,
) -> None:
    """Change tags, display name or description of a workspace."""
    mask = field_mask(display_name=display_name, description=description)
    refuse_no_change(mask, add_tag, remove_tag)
    changed = Workspace(name=session.workspace, display_name=display_name or "", description=description or "")
    if add_tag or remove_tag:
        mask.paths.append("tags")
        changed.tags.extend(_changed_tags(_get(session).tags, add_tag, remove_tag))
    request = api.UpdateWorkspaceRequest(workspace=changed, update_mask=mask)
    session.show(workspace_document(session.services.call(lambda c: c.runs.UpdateWorkspace, request).workspace), CARD)


@workspace.command(epilog="Example: runstream workspace delete -w vision --yes")
@yes_option
@pass_session
def delete(session: Session, yes: bool) -> None:
    """Delete a workspace for good. It must hold no experiment."""
    if not session.settings.workspace_name:
        raise click.UsageError("Name the workspace: -w NAME.")
    confirm(f"Delete workspace {session.place.workspace} for good?", yes)
    session.services.call(lambda c: c.runs.DeleteWorkspace, api.DeleteWorkspaceRequest(name=session.workspace))
    session.say(f"Workspace {session.place.workspace} was deleted.")


def _all(session: Session) -> Iterator[Workspace]:
    request = api.ListWorkspacesRequest(page_size=PAGE_SIZE)
    for page in session.services.pages(lambda c: c.runs.ListWorkspaces, request):
        yield from page.workspaces


def _get(session: Session) -> Workspace:
    return session.services.call(
        lambda c: c.runs.GetWorkspace, api.GetWorkspaceRequest(name=session.workspace)
    ).workspace


def _changed_tags(tags: Sequence[Tag], add: Sequence[str], remove: Sequence[str]) -> list[Tag]:
    after = {tag.key: tag for tag in [*tags, *parse_tags(add)] if tag.key not in remove}
    return list(after.values())


TABLE = listing(
    Column("Workspace", lambda each: Text(each["name"], style="bold")),
    Column("Display name", lambda each: each["display_name"], rank=1, can_be_cut=True),
    Column("Created", lambda each: moments.ago(each["created_utc"])),
    Column("Tags", lambda each: Text(", ".join(labels(each["tags"])), style=DIM), rank=2, can_be_cut=True),
    Column("Description", lambda each: each["description"], rank=3, can_be_cut=True),
)

CARD = fields(
    Column("Workspace", lambda each: Text(each["name"], style="bold")),
    Column("Display name", lambda each: each["display_name"]),
    Column("Created", lambda each: moments.local(each["created_utc"])),
    Column("Changed", lambda each: moments.local(each["updated_utc"])),
    Column("MLflow", lambda each: each["mlflow_tracking_uri"]),
    Column("Description", lambda each: each["description"]),
    Column("Tags", lambda each: "\n".join(labels(each["tags"]))),
)
