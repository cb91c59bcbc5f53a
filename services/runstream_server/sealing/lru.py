"""Keeps what was used last, up to a number of bytes."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ByteLru(Generic[K, V]):
    """A cache whose entries take up to `max_bytes` together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0

    def get(self, key: K) -> V | None:
        """Returns an entry, if it is there."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Adds an entry, and drops those that were not used for longest."""
        self.drop(key)
        self._entries[key] = value, size_bytes
        self._size += size_bytes
        while self._size > self._max_bytes:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._size -= dropped

    def drop(self, key: K) -> None:
        """Removes an entry, if it is there."""
        _, size = self._entries.pop(key, (None, 0))
        self._size -= size
