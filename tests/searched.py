"""Something to search for in tests of the language, and a schema of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runstream_server.gateway.mlflow.search import LABEL, LISTED_TEXT, NUMBER, TEXT, Entity, Field, Scalar, Schema

SCHEMA = Schema(
    Entity(
        name="attributes",
        aliases=["attribute", "run"],
        keys={"id": LISTED_TEXT, "name": TEXT, "time": NUMBER, "size": Field(frozenset(), is_number=True)},
        key_aliases={"Thing name": "name", "Created": "time"},
    ),
    Entity(name="metrics", aliases=["metric"], any_key=NUMBER),
    Entity(name="tags", aliases=["tag"], any_key=LABEL),
    Entity(name="sets", keys={"name": Field(LISTED_TEXT.comparators, can_order=False)}),
)


@dataclass(frozen=True)
class Thing:
    """What it has by entity and key."""

    found: Mapping[tuple[str, str], Sequence[Scalar]]

    def values(self, entity: str, key: str) -> Sequence[Scalar]:
        """What it has under a key."""
        return self.found.get((entity, key), ())


def thing(**values: Scalar | Sequence[Scalar]) -> Thing:
    """A thing that has values by `entity__key`."""
    found = {}
    for name, value in values.items():
        entity, _, key = name.partition("__")
        found[entity, key] = [value] if isinstance(value, str | int | float) else value
    return Thing(found)
