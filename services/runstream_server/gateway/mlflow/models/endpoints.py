"""The endpoints about logged models."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.errors import not_there, wrong
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments, require_active
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.files.listings import ArtifactListings
from runstream_server.gateway.mlflow.files.paths import checked_path
from runstream_server.gateway.mlflow.files.places import Place
from runstream_server.gateway.mlflow.models.carriers import make_model_run
from runstream_server.gateway.mlflow.models.documents import model_document, model_uri
from runstream_server.gateway.mlflow.models.known import KnownModels, model_folder, model_not_found
from runstream_server.gateway.mlflow.models.searching import LoggedModelSearch
from runstream_server.gateway.mlflow.runs.documents import id_of
from runstream_server.gateway.mlflow.runs.finding import get_active_run
from runstream_server.gateway.store.logged_model_labels import MAX_LABELS, ParamStored, TooMany
from runstream_server.gateway.store.logged_models import (
    PENDING,
    READY,
    UPLOAD_FAILED,
    LoggedModel,
    LoggedModelStore,
    ModelGone,
)
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

_NAME = 500
_KEY = 250
_PARAM = 6_000
_TAG = 8_000
_AT_ONCE = 1_000
_STATUSES: Mapping[Any, str] = {
    READY: READY,
    UPLOAD_FAILED: UPLOAD_FAILED,
    2: READY,
    3: UPLOAD_FAILED,
}


class LoggedModelEndpoints:
    """Makes, shows, changes, deletes and finds logged models."""

    def __init__(
        self,
        store: LoggedModelStore,
        experiments: KnownExperiments,
        listings: ArtifactListings,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._models = KnownModels(store)
        self._search = LoggedModelSearch(store)
        self._experiments = experiments
        self._listings = listings
        self._now = now

    def endpoints(self) -> Sequence[Endpoint]:
        """Everything below `logged-models`."""
        one = "logged-models/{model_id}"
        return [
            Endpoint("POST", "logged-models", self._create, Role.WRITER),
            Endpoint("POST", "logged-models/search", self._search.answer, Role.READER),
            Endpoint("GET", one, self._get, Role.READER),
            Endpoint("PATCH", one, self._finish, Role.WRITER),
            Endpoint("DELETE", one, self._delete, Role.WRITER),
            Endpoint("PATCH", f"{one}/tags", self._set_tags, Role.WRITER),
            Endpoint("DELETE", f"{one}/tags/{{key:.+}}", self._delete_tag, Role.WRITER),
            Endpoint("POST", f"{one}/params", self._add_params, Role.WRITER),
            Endpoint("GET", f"{one}/artifacts/directories", self._list, Role.READER),
        ]

    async def _create(self, visitor: Visitor, fields: Fields) -> Answer:
        tags, params = _texts(fields, "tags", _TAG), _texts(fields, "params", _PARAM)
        model_id, at = f"m-{uuid.uuid4().hex}", self._now_ms()
        name = fields.text_or("name", "", most=_NAME) or f"model-{model_id[2:10]}"
        model_type, source = fields.text_or("model_type", "", most=_NAME), fields.text_or("source_run_id", "")
        experiment = require_active(await self._experiments.get(visitor, fields.text("experiment_id")))
        if source:
            run = await get_active_run(visitor, source)
        else:
            run = await make_model_run(visitor, experiment, model_id, name)
        model = LoggedModel(
            workspace=visitor.workspace.workspace,
            model_id=model_id,
            experiment_number=experiment.numbered.number,
            run=id_of(run.name),
            has_source_run=bool(source),
            name=name,
            model_type=model_type,
            status=PENDING,
            create_ms=at,
            update_ms=at,
            tags=tags,
            params=params,
        )
        with _told(model_id):
            await self._store.add(model)
        return {"model": model_document(model)}

    async def _get(self, visitor: Visitor, fields: Fields) -> Answer:
        return {"model": model_document(await self._models.get(visitor, fields.text("model_id")))}

    async def _finish(self, visitor: Visitor, fields: Fields) -> Answer:
        status = _STATUSES.get(fields.raw("status")) if isinstance(fields.raw("status"), str | int) else None
        if status is None:
            raise fields.error("status", f"expected {READY} or {UPLOAD_FAILED}")
        model = await self._changed(visitor, fields)
        with _told(model.model_id):
            await self._store.set_status(model.workspace, model.model_id, status, self._now_ms())
        return await self._get(visitor, fields)

    async def _delete(self, visitor: Visitor, fields: Fields) -> Answer:
        model, _ = await self._models.find(visitor, fields.text("model_id"))
        await self._store.delete(model.workspace, model.model_id, self._now_ms())
        return {}

    async def _set_tags(self, visitor: Visitor, fields: Fields) -> Answer:
        tags, model = _texts(fields, "tags", _TAG), await self._changed(visitor, fields)
        with _told(model.model_id):
            await self._store.set_tags(model.workspace, model.model_id, tags, self._now_ms())
        return {}

    async def _delete_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        key, model = fields.text("key"), await self._changed(visitor, fields)
        with _told(model.model_id):
            if not await self._store.delete_tag(model.workspace, model.model_id, key, self._now_ms()):
                raise not_there(f"No tag with name: {key} in logged model with id {model.model_id}")
        return {}

    async def _add_params(self, visitor: Visitor, fields: Fields) -> Answer:
        params, model = _texts(fields, "params", _PARAM), await self._changed(visitor, fields)
        with _told(model.model_id):
            await self._store.add_params(model.workspace, model.model_id, params, self._now_ms())
        return {}

    async def _list(self, visitor: Visitor, fields: Fields) -> Answer:
        path = checked_path(fields.text_or("artifact_directory_path", ""))
        model, run = await self._models.find_active(visitor, fields.text("model_id"))
        place = Place(RunName.parse(run.name), model_folder(model.model_id), path)
        entries, token = await self._listings.page(visitor, place, fields.text_or("page_token", ""))
        return {
            "root_uri": model_uri(model),
            "files": [each.shown(each.path.removeprefix(f"{place.root}/")) for each in entries],
            **({"next_page_token": token} if token else {}),
        }

    async def _changed(self, visitor: Visitor, fields: Fields) -> LoggedModel:
        """The model that a request changes; raises MlflowError unless it is there."""
        return (await self._models.find_active(visitor, fields.text("model_id")))[0]

    def _now_ms(self) -> int:
        return int(self._now().timestamp() * 1_000)


def _texts(fields: Fields, name: str, most: int) -> Mapping[str, str]:
    """Tags or params; raises MlflowError if a key comes twice."""
    pairs = [(each.text("key", most=_KEY), each.text_or("value", "", most=most)) for each in fields.objects(name)]
    if len(pairs) > _AT_ONCE:
        raise wrong(f"A request has up to {_AT_ONCE} {name}; got {len(pairs)}. Send several requests.")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise fields.error(name, "expected each key once")
    return found


@contextmanager
def _told(model_id: str) -> Iterator[None]:
    """Tells clients what the store refuses."""
    try:
        yield
    except ModelGone as gone:
        raise model_not_found(gone.model_id) from None
    except TooMany:
        raise wrong(f"A logged model has up to {MAX_LABELS} params, and as many tags.") from None
    except ParamStored as stored:
        raise wrong(
            f"Changing param values is not allowed. Param with key='{stored.key}' was already logged with"
            f" value='{stored.old}' for model ID='{model_id}'. Attempted logging new value '{stored.new}'."
        ) from None
