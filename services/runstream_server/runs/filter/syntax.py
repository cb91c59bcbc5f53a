"""The syntax tree of a filter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the text of a filter, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Value:
    """What a field is compared with."""

    pieces: Sequence[str]
    """The text, taken apart at each `*` that is not escaped."""

    quoted: bool
    place: Place

    @property
    def text(self) -> str:
        """The text with `*` as itself."""
        return "*".join(self.pieces)

    @property
    def has_wildcard(self) -> bool:
        """Whether a `*` in it may stand for any text."""
        return len(self.pieces) > 1

    @property
    def is_any(self) -> bool:
        """Whether it is a lone `*`."""
        return not self.quoted and list(self.pieces) == ["", ""]


@dataclass(frozen=True, slots=True)
class Term:
    """A comparison: `tags.team = vision`."""

    path: Sequence[str]
    """The field, taken apart at its dots: one or more parts."""

    operator: str
    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class Not:
    """Admits what `inner` does not."""

    inner: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """Admits what all parts admit."""

    parts: Sequence["Node"]


@dataclass(frozen=True, slots=True)
class Or:
    """Admits what any part admits."""

    parts: Sequence["Node"]


Node: TypeAlias = Term | Not | And | Or


def terms(node: Node | None) -> Iterator[Term]:
    """All comparisons of a filter, in order."""
    match node:
        case Term():
            yield node
        case Not(inner):
            yield from terms(inner)
        case And(parts) | Or(parts):
            for part in parts:
                yield from terms(part)
