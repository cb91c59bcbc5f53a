"""Which keys may be compared, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Scalar = str | int | float
"""What is found under a key. Times are milliseconds since the Unix epoch."""


@dataclass(frozen=True)
class Field:
    """How what is found under a key may be compared."""

    comparators: frozenset[str]
    """Of `= != > >= < <= LIKE ILIKE IN`, `NOT IN`, `IS NULL` and `IS NOT NULL`. Empty: only ordered by."""

    is_number: bool = False

    can_order: bool = True
    """Whether `order_by` takes it."""


_TEXT_COMPARATORS = frozenset({"=", "!=", "LIKE", "ILIKE"})

NUMBER = Field(frozenset({"=", "!=", ">", ">=", "<", "<="}), is_number=True)
TEXT = Field(_TEXT_COMPARATORS)
LISTED_TEXT = Field(_TEXT_COMPARATORS | {"IN", "NOT IN"})
LABEL = Field(_TEXT_COMPARATORS | {"IS NULL", "IS NOT NULL"})


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A group of keys: `metrics` of `metrics.loss`."""

    name: str
    """What it is called in clauses and orders that are parsed."""

    aliases: Sequence[str] = ()
    """What else a filter may call it."""

    keys: Mapping[str, Field] = field(default_factory=dict)
    """Its keys, where these are known beforehand."""

    key_aliases: Mapping[str, str] = field(default_factory=dict)
    """What else a filter may call keys: `run_name` by `Run name`."""

    any_key: Field | None = None
    """How other keys are compared. None: there are no others."""

    def find(self, key: str) -> tuple[str, Field] | None:
        """Returns the name of a key and how it is compared; None if there is no such key."""
        name = self.key_aliases.get(key, key)
        found = self.keys.get(name, self.any_key)
        return (name, found) if found else None


class Schema:
    """The keys of one kind of things that are searched."""

    def __init__(self, *entities: Entity) -> None:
        """The first entity is that of keys which name none."""
        self._default = entities[0]
        self._by_name = {name: each for each in entities for name in (each.name, *each.aliases)}
        self.names = [each.name for each in entities]

    def find(self, name: str | None) -> Entity | None:
        """Returns an entity by any of its names; the default one by None."""
        return self._default if name is None else self._by_name.get(name)
