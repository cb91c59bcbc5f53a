"""Params and tags of runs, and where the run history keeps them."""

import json
from collections.abc import Mapping, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream_server.gateway.mlflow.errors import MlflowError, not_there, wrong
from runstream_server.gateway.mlflow.runs.documents import NOTE_TAG, PARAM, RUN_NAME_TAG, params_of, tags_of
from runstream_server.gateway.mlflow.runs.finding import about_run, get_active_run, get_run
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

RUN_NAME = 256
DESCRIPTION = 5_000
"""Characters of names and descriptions in the run history. A longer note stays a tag."""

MOST = 1_000
MOST_BYTES = 1024 * 1024
"""How many tags a run has at most, and what they take as JSON."""


def split_tags(tags: Mapping[str, str]) -> tuple[run_pb2.Run, Mapping[str, str]]:
    """Parts tags into what the run history keeps as the name and the description of a run, and other tags.

    Raises:
        MlflowError: The name can be none.
    """
    rest = dict(tags)
    if not rest.get(RUN_NAME_TAG, "a name"):
        raise wrong(f"The value of tag '{RUN_NAME_TAG}' is the name of the run and cannot be empty.")
    note = rest.pop(NOTE_TAG, "")
    run = run_pb2.Run(display_name=check_run_name(rest.pop(RUN_NAME_TAG, "")))
    if len(note) <= DESCRIPTION:
        run.description = note
    else:
        rest[NOTE_TAG] = note
    return run, rest


def check_run_name(name: str) -> str:
    """The name of a run; raises MlflowError if it is too long."""
    if len(name) > RUN_NAME:
        raise wrong(f"The name of a run has up to {RUN_NAME} characters; got {len(name)}.")
    return name


def conflict(run: run_pb2.Run, params: Mapping[str, str]) -> MlflowError | None:
    """What is told if one of some params is stored with another value; None: they go together."""
    stored = params_of(run)
    for key, value in params.items():
        if stored.get(key, value) != value:
            return wrong(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with"
                f" value='{stored[key]}' for run ID='{RunName.parse(run.name).run}'. Attempted logging new value"
                f" '{value}'."
            )
    return None


async def add_params(visitor: Visitor, run: RunName, params: Mapping[str, str]) -> None:
    """Adds params, all or none; raises MlflowError if one is there with another value."""
    request = messages.AddPropertiesRequest(
        name=str(run), properties={PARAM + key: value for key, value in params.items()}, refuse_deleted=True
    )
    try:
        with about_run(run.run):
            await visitor.call(visitor.services.runs.AddProperties, request, messages.AddPropertiesResponse)
    except Refusal as refusal:
        if refusal.reason == "PROPERTY_CONFLICT":
            raise conflict(await get_run(visitor, run.run), params) or refusal from None
        raise


async def set_tags(visitor: Visitor, run: RunName, tags: Mapping[str, str]) -> None:
    """Sets tags; those that stand for the name and the description change these."""
    if NOTE_TAG in tags or RUN_NAME_TAG in tags:
        await get_active_run(visitor, run.run)
    changed, rest = split_tags(tags)
    removed = [NOTE_TAG] if NOTE_TAG in tags and NOTE_TAG not in rest else []
    if rest or removed:
        await modify_tags(visitor, run, rest, removed)
    paths = [path for path, tag in (("display_name", RUN_NAME_TAG), ("description", NOTE_TAG)) if tag in tags]
    if paths:
        await update_run(visitor, run, changed, paths)


async def delete_tag(visitor: Visitor, run: RunName, key: str) -> None:
    """Removes a tag; raises MlflowError if the run has none of this key, or if it stands for what cannot be removed."""
    found = await get_active_run(visitor, run.run)
    if key not in tags_of(found):
        raise not_there(f"No tag with name: {key} in run with id {run.run}")
    if key == NOTE_TAG and found.description:
        await update_run(visitor, run, run_pb2.Run(), ["description"])
    elif key not in {tag.key for tag in found.tags}:
        raise wrong(f"Tag '{key}' says what the run is, and cannot be deleted.")
    await modify_tags(visitor, run, {}, [key])


async def modify_tags(visitor: Visitor, run: RunName, tags: Mapping[str, str], removed: Sequence[str]) -> None:
    """Sets and removes tags as they are."""
    request = messages.ModifyTagsRequest(
        name=str(run),
        set=[Tag(key=key, value=value) for key, value in tags.items()],
        remove=removed,
        refuse_deleted=True,
    )
    with about_run(run.run):
        await visitor.call(visitor.services.runs.ModifyTags, request, messages.ModifyTagsResponse)


async def update_run(visitor: Visitor, run: RunName, changed: run_pb2.Run, paths: Sequence[str]) -> run_pb2.Run:
    """Changes the named fields of a run; returns it as it now is."""
    changed.name = str(run)
    request = messages.UpdateRunRequest(run=changed, update_mask=FieldMask(paths=paths))
    with about_run(run.run):
        response = await visitor.call(visitor.services.runs.UpdateRun, request, messages.UpdateRunResponse)
    return response.run


def check_room(run: run_pb2.Run, tags: Mapping[str, str]) -> None:
    """Raises MlflowError if a run would have more tags than it can."""
    all_tags = {tag.key: tag.value for tag in run.tags} | dict(tags)
    if len(all_tags) > MOST or len(json.dumps(all_tags, ensure_ascii=False).encode()) > MOST_BYTES:
        raise wrong(f"A run has up to {MOST} tags that take {MOST_BYTES} bytes together; delete some first.")
