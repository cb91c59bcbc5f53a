"""Keeps the tags of registered models, and of their versions. Each method is part of a transaction."""

from collections.abc import Mapping

from runstream_server.gateway.store.registry import MAX_TAG_BYTES, MAX_TAGS, TooManyTags
from runstream_server.postgres import Connection


class RegistryTags:
    """The tags in a table, by what owns them."""

    def __init__(self, table: str, *owner: str) -> None:
        """`owner`: the columns that name it."""
        columns = ", ".join(owner)
        places = ", ".join(f"${place}" for place in range(1, len(owner) + 1))
        keys, values = f"${len(owner) + 1}", f"${len(owner) + 2}"
        self._set = (
            f"INSERT INTO {table} ({columns}, key, value)"
            f" SELECT {places}, * FROM unnest({keys}::text[], {values}::text[])"
            f" ON CONFLICT ({columns}, key) DO UPDATE SET value = excluded.value"
        )
        self._are_too_many = (
            f"SELECT count(*) > {MAX_TAGS} OR coalesce(sum(octet_length(value)), 0) > {MAX_TAG_BYTES}"
            f" FROM {table} WHERE ({columns}) = ({places})"
        )
        self._remove = f"DELETE FROM {table} WHERE ({columns}, key) = ({places}, {keys})"

    async def set(self, transaction: Connection, *owner: str | int, tags: Mapping[str, str]) -> None:
        """Sets tags; raises TooManyTags."""
        if tags:
            await transaction.execute(self._set, *owner, list(tags), list(tags.values()))
            if await transaction.fetchval(self._are_too_many, *owner):
                raise TooManyTags

    async def remove(self, transaction: Connection, *owner: str | int, key: str) -> None:
        """Removes a tag, if it is there."""
        await transaction.execute(self._remove, *owner, key)


MODEL_TAGS = RegistryTags("gateway.registered_model_tag", "workspace", "name")
VERSION_TAGS = RegistryTags("gateway.model_version_tag", "workspace", "name", "version")
