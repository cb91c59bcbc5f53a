"""The endpoints of experiments."""

from collections.abc import Mapping, Sequence

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.errors import not_there
from runstream_server.gateway.mlflow.experiments.changes import ExperimentChanges, name_taken
from runstream_server.gateway.mlflow.experiments.documents import experiment_document
from runstream_server.gateway.mlflow.experiments.known import KnownExperiment, KnownExperiments, require_active
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.runs.labels import EXPERIMENT_TAG, read_key, read_label, read_labels
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor

NAME = 500
LOCATION = 2_000
"""Characters of names and artifact locations."""


class ExperimentEndpoints:
    """What clients do with experiments, but for searching them."""

    def __init__(self, experiments: KnownExperiments, changes: ExperimentChanges) -> None:
        self._experiments = experiments
        self._changes = changes

    def endpoints(self) -> Sequence[Endpoint]:
        """`experiments/create` to `experiments/delete-experiment-tag`."""
        return [
            Endpoint("GET", "experiments/get", self._get, Role.READER),
            Endpoint("GET", "experiments/get-by-name", self._get_by_name, Role.READER),
            Endpoint("POST", "experiments/create", self._create, Role.WRITER, of_run=False),
            Endpoint("POST", "experiments/update", self._update, Role.WRITER, of_run=False),
            Endpoint("POST", "experiments/delete", self._delete, Role.WRITER, of_run=False),
            Endpoint("POST", "experiments/restore", self._restore, Role.WRITER, of_run=False),
            Endpoint("POST", "experiments/set-experiment-tag", self._set_tag, Role.WRITER, of_run=False),
            Endpoint("POST", "experiments/delete-experiment-tag", self._delete_tag, Role.WRITER, of_run=False),
        ]

    async def _asked(self, visitor: Visitor, fields: Fields) -> KnownExperiment:
        return await self._experiments.get(visitor, fields.text("experiment_id"))

    async def _get(self, visitor: Visitor, fields: Fields) -> Answer:
        return {"experiment": experiment_document(await self._asked(visitor, fields))}

    async def _get_by_name(self, visitor: Visitor, fields: Fields) -> Answer:
        name = fields.text("experiment_name", most=NAME)
        found = await self._experiments.find_name(visitor, name)
        if found is None:
            raise not_there(f"Could not find experiment with name '{name}'")
        return {"experiment": experiment_document(found)}

    async def _create(self, visitor: Visitor, fields: Fields) -> Answer:
        name = fields.text("name", most=NAME)
        location = fields.text_or("artifact_location", "", most=LOCATION)
        tags = read_labels(fields, "tags", EXPERIMENT_TAG)
        return {"experiment_id": await self._changes.create(visitor, name, location, tags)}

    async def _update(self, visitor: Visitor, fields: Fields) -> Answer:
        name = fields.text("new_name", most=NAME)
        await self._changes.rename(visitor, require_active(await self._asked(visitor, fields)), name)
        return {}

    async def _delete(self, visitor: Visitor, fields: Fields) -> Answer:
        found = await self._asked(visitor, fields)
        request = messages.ArchiveExperimentRequest(name=found.message.name)
        await visitor.call(visitor.services.runs.ArchiveExperiment, request, messages.ArchiveExperimentResponse)
        return {}

    async def _restore(self, visitor: Visitor, fields: Fields) -> Answer:
        found = await self._asked(visitor, fields)
        request = messages.ReactivateExperimentRequest(name=found.message.name)
        reactivate = visitor.services.runs.ReactivateExperiment
        try:
            await visitor.call(reactivate, request, messages.ReactivateExperimentResponse)
        except Refusal as refusal:
            raise name_taken(found.name) if refusal.reason == "EXPERIMENT_EXISTS" else refusal from None
        return {}

    async def _set_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        key, value = read_label(fields, EXPERIMENT_TAG)
        found = require_active(await self._asked(visitor, fields))
        await _modify_tags(visitor, found, {key: value}, [])
        return {}

    async def _delete_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        key = read_key(fields)
        found = require_active(await self._asked(visitor, fields))
        if key not in {tag.key for tag in found.message.tags}:
            raise not_there(f"No tag with name: {key} in experiment with id {found.id}")
        await _modify_tags(visitor, found, {}, [key])
        return {}


async def _modify_tags(
    visitor: Visitor, experiment: KnownExperiment, tags: Mapping[str, str], removed: Sequence[str]
) -> None:
    request = messages.ModifyTagsRequest(
        name=experiment.message.name,
        set=[Tag(key=key, value=value) for key, value in tags.items()],
        remove=removed,
    )
    await visitor.call(visitor.services.runs.ModifyTags, request, messages.ModifyTagsResponse)
