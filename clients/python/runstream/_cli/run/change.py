"""`run cancel` and `run update`."""

from collections.abc import Sequence

import click
from google.protobuf.field_mask_pb2 import FieldMask

from runstream._cli.changes import field_mask, parse_tags, refuse_no_change, tag_options
from runstream._cli.commands import PlacedCommand
from runstream._cli.run_document import run_document
from runstream._cli.run_tables import run_card
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream.api.runs.v1.run_history_service_pb2 import (
    CancelRunRequest,
    CancelRunResponse,
    GetRunRequest,
    ModifyTagsRequest,
    UpdateRunRequest,
)
from runstream.api.runs.v1.run_pb2 import Run
from runstream.core._status import CANCEL_REQUESTED, CANCELED, status_name


@click.command(cls=PlacedCommand, epilog="Example: runstream run cancel -r RUN --recursive")
@run_option
@click.option("--recursive", is_flag=True, help="All runs below it too.")
@pass_session
def cancel(session: Session, run: str, recursive: bool) -> None:
    """Cancel a run."""
    request = CancelRunRequest(name=session.run_name(run), recursive=recursive)
    session.show(outcome(run, session.services.call(lambda c: c.runs.CancelRun, request)))


@click.command(cls=PlacedCommand, epilog="Example: runstream run update -r RUN --add-tag best --add-tag quality=good")
@run_option
@tag_options
@click.option("--display-name", metavar="TEXT", help="The name shown to people.")
@click.option("--description", metavar="TEXT", help="Free text.")
@pass_session
def update(
    session: Session,
    run: str,
    add_tag: Sequence[str],
    remove_tag: Sequence[str],
    display_name: str | None,
    description: str | None,
) -> None:
    """Change tags, name or description of a run."""
    mask = field_mask(display_name=display_name, description=description)
    refuse_no_change(mask, add_tag, remove_tag)
    name = session.run_name(run)
    if add_tag or remove_tag:
        tags = ModifyTagsRequest(name=name, set=parse_tags(add_tag), remove=remove_tag)
        session.services.call(lambda c: c.runs.ModifyTags, tags)
    changed = Run(name=name, display_name=display_name or "", description=description or "")
    session.show(run_document(_update(session, changed, mask)), run_card())


def _update(session: Session, changed: Run, mask: FieldMask) -> Run:
    if not mask.paths:
        return session.services.call(lambda c: c.runs.GetRun, GetRunRequest(name=changed.name)).run
    request = UpdateRunRequest(run=changed, update_mask=mask)
    return session.services.call(lambda c: c.runs.UpdateRun, request).run


def outcome(run: str, response: CancelRunResponse) -> str:
    """What cancelling a run did, in words."""
    status = status_name(response.run.status)
    others = response.changed_count - 1
    if not response.changed_count and status != CANCEL_REQUESTED:
        return f"Run {run} had ended before as {status}; nothing was changed."
    if status != CANCELED:
        return f"Run {run} was asked to stop; its status is {status}."
    if others > 0:
        return f"Run {run} and {others} below it were canceled successfully."
    return f"Run {run} was canceled successfully."
