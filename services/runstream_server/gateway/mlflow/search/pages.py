"""Pages of what is found, and the tokens between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from runstream_server.gateway.mlflow.errors import MlflowError, wrong
from runstream_server.gateway.mlflow.search.ordering import Key, Ordering, Place
from runstream_server.tokens import Signer

_UNKEYED = Signer(b"")

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Query:
    """What is searched for, apart from the page."""

    binding: Sequence[object]
    """All that a page token is for: the workspace, the endpoint and every parameter but the size of the page."""

    ordering: Ordering

    def token(self, last: Place) -> str:
        """The token of the page behind a place. It has no key: all that a made-up one could say is such a place."""
        return _UNKEYED.seal(self.binding, last)

    def place(self, token: str) -> Place | None:
        """The place behind which a page begins; None: the first page.

        Raises:
            MlflowError: The token is of another query.
        """
        if not token:
            return None
        content = _UNKEYED.open(self.binding, token)
        if content is None or not self.ordering.is_place(content):
            raise invalid_page_token()
        return content  # type: ignore[return-value] # as is_place says


def invalid_page_token() -> MlflowError:
    """A page token is of no page of this query."""
    return wrong("Invalid page_token: it is not from an earlier page of this search")


class First(Generic[_Found]):
    """Keeps the first ones of what it is offered, in order: so many, and no more than take so many bytes."""

    def __init__(
        self, ordering: Ordering, most: int, after: Place | None = None, most_bytes: int | None = None
    ) -> None:
        """Passes over all up to the place `after`. Keeps one at least."""
        self._ordering = ordering
        self._most = most
        self._after = None if after is None else ordering.key(after)
        self._most_bytes = most_bytes
        self._kept: list[tuple[Key, Place, _Found, int]] = []
        self._bytes = 0
        self._end: Key | None = None

    def wants(self, place: Place) -> bool:
        """Whether something at a place would be kept. Notes that there is more, if it is behind the others."""
        key = self._ordering.key(place)
        return (self._after is None or self._after < key) and (self._end is None or key < self._end)

    def add(self, place: Place, found: _Found, size_bytes: int = 0) -> None:
        """Keeps something that is wanted."""
        self._kept.append((self._ordering.key(place), place, found, size_bytes))
        self._bytes += size_bytes
        if len(self._kept) > 2 * self._most or self._is_too_large(2):
            self._cut()

    def _is_too_large(self, times: int) -> bool:
        return self._most_bytes is not None and self._bytes > times * self._most_bytes and len(self._kept) > 1

    def _cut(self) -> None:
        self._kept.sort(key=lambda each: each[0])
        while len(self._kept) > self._most or self._is_too_large(1):
            self._end, _, _, size_bytes = self._kept.pop()
            self._bytes -= size_bytes

    def is_past(self, beginning: Place) -> bool:
        """Whether nothing is wanted any more of what comes behind all places that begin so."""
        self._cut()
        return self._end is not None and self._end[: len(beginning)] < self._ordering.key(beginning)

    @property
    def has_more(self) -> bool:
        """Whether there is something behind those that are kept."""
        self._cut()
        return self._end is not None

    def in_order(self) -> Sequence[tuple[Place, _Found]]:
        """Those that are kept, in order."""
        self._cut()
        return [(place, found) for _, place, found, _ in self._kept]
