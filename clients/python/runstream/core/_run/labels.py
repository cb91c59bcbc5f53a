"""Tags, properties, the display name and the description of a run."""

from collections.abc import Iterable, Mapping
from typing import Generic

from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream.core._forms import E, R, W
from runstream.core._labels import from_tags, to_keys, to_properties, to_tags
from runstream.core._run.record import RunRecord
from runstream.core._surface import dual


class LabelCalls(RunRecord[W, E, R], Generic[W, E, R]):
    """Labels runs. Tags can be changed and removed, properties are kept for ever; both also after the run has ended."""

    @dual
    async def tag(self, key: str, value: object = None) -> None:
        """Sets one tag. Without a value it is a mark, and `run.tags` has None for it.

            run.tag("quality", "fantastic run")
            run.tag("worth another look")

        A value that is no text is stored as `str(value)`, with a warning.
        """
        await self._modify_tags(to_tags({key: value}))

    @dual
    async def set_tags(self, tags: Mapping[str, object]) -> None:
        """Sets tags, all of them or none; other tags of the run stay.

            run.set_tags({"dataset": "digits", "reviewed": None})

        Raises:
            UserErrorException: `tags` is no dictionary, or a tag is beyond the limits.
        """
        await self._modify_tags(to_tags(tags))

    @dual
    async def remove_tags(self, tags: Iterable[str]) -> None:
        """Removes tags by their keys; keys that the run does not have are ignored.

        run.remove_tags(["worth another look"])
        """
        await self._modify_tags([], to_keys(tags))

    @dual
    async def get_tags(self) -> dict[str, str | None]:
        """Reads the tags from the service."""
        return from_tags((await self._refresh()).tags)

    @dual
    async def add_properties(self, properties: Mapping[str, object]) -> None:
        """Adds properties, all of them or none. A property is never changed or removed.

            run.add_properties({"author": "ada", "commit": "3f9a1c"})

        A key that the run has with the same value is accepted.

        Raises:
            UserErrorException: The run has one of the keys with another value; the message names key and values.
        """
        added = to_properties(properties)
        if not added:
            return
        connection = self._connection()
        request = api.AddPropertiesRequest(name=self._record.name, properties=added)
        response = await connection.call(connection.runs.AddProperties, request)
        self._record.properties.clear()
        self._record.properties.update(response.properties)

    @dual
    async def get_properties(self) -> dict[str, str]:
        """Reads the properties from the service."""
        return dict((await self._refresh()).properties)

    async def _modify_tags(self, changed: list[Tag], removed: Iterable[str] = ()) -> None:
        keys = list(removed)
        if not changed and not keys:
            return
        connection = self._connection()
        request = api.ModifyTagsRequest(name=self._record.name, set=changed, remove=keys)
        response = await connection.call(connection.runs.ModifyTags, request)
        del self._record.tags[:]
        self._record.tags.extend(response.tags)

    async def _update(self, changed: run_pb2.Run, *fields: str) -> None:
        changed.name = self._record.name
        connection = self._connection()
        request = api.UpdateRunRequest(run=changed, update_mask=FieldMask(paths=fields))
        self._record = (await connection.call(connection.runs.UpdateRun, request)).run
        self._is_partial = False
