"""Reads the pieces of filters and orders."""

import re

from runstream_server.gateway.mlflow.search.schema import Field, Schema

_SPACE = re.compile(r"\s*")
_IDENTIFIER = re.compile(r"""(?:(\w+|`\w+`|"\w+")\.)?("[^"]*"|`[^`]*`|\w[\w.]*)""")
_SHOWN = 80


class Unreadable(Exception):
    """Something is not of the language; says why."""


class Scanner:
    """Reads a text piece by piece, and passes over the space before each."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0
        self.take(_SPACE)

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position == len(self._text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Reads a piece, if it is next."""
        match = pattern.match(self._text, self.position)
        if match:
            space = _SPACE.match(self._text, match.end())
            self.position = space.end() if space else match.end()
        return match

    def take_key(self, schema: Schema) -> tuple[str, str, Field]:
        """Reads a key; returns the names of its entity and of itself, and how it is compared. Raises Unreadable."""
        match = self.take(_IDENTIFIER)
        if match is None:
            raise Unreadable("expected a key such as metrics.loss; one with other characters stands in backticks")
        entity = schema.find(match[1] and _bare(match[1]))
        if entity is None:
            raise Unreadable(f"there is no {match[1][:_SHOWN]}; there are {', '.join(schema.names)}")
        found = entity.find(_bare(match[2]))
        if found is None:
            raise Unreadable(f"{entity.name} has no {match[2][:_SHOWN]}; it has {', '.join(entity.keys)}")
        return entity.name, *found


def _bare(name: str) -> str:
    return name[1:-1] if name[0] in '"`' else name
