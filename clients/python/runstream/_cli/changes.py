"""What the commands have in common that change something."""

from collections.abc import Callable, Sequence
from typing import Any

import click
from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1.workspace_pb2 import Tag


def tag_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--add-tag` and `--remove-tag`, as parameters `add_tag` and `remove_tag`."""
    add = click.option("--add-tag", multiple=True, metavar="KEY[=VALUE]", help="Sets a tag. May be repeated.")
    remove = click.option("--remove-tag", multiple=True, metavar="KEY", help="Removes a tag. May be repeated.")
    return add(remove(command))


def parse_tags(texts: Sequence[str]) -> list[Tag]:
    """Tags from texts `key=value`, or `key` for a tag without a value; of texts with the same key the last one wins."""
    pairs = {key: value if separator else None for key, separator, value in (text.partition("=") for text in texts)}
    return [Tag(key=key, value=value) for key, value in pairs.items()]


def field_mask(**given: str | None) -> FieldMask:
    """Names the fields that are given, be it as empty text."""
    return FieldMask(paths=[field for field, value in given.items() if value is not None])


def refuse_no_change(mask: FieldMask, *tags: Sequence[str]) -> None:
    """Refuses a call that changes neither fields nor tags.

    Raises:
        UsageError: It does not.
    """
    if not mask.paths and not any(tags):
        raise click.UsageError("Nothing to change: give one of the options under Options.")
