"""Finds the logged models that requests name: who reaches the run of a model reaches the model."""

from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.errors import MlflowError, not_there
from runstream_server.gateway.mlflow.files.paths import MODEL_ID
from runstream_server.gateway.mlflow.runs.finding import get_run
from runstream_server.gateway.store.logged_models import LoggedModel, LoggedModelStore
from runstream_server.gateway.visitors import Visitor


def model_not_found(model_id: str) -> MlflowError:
    """No model has this id."""
    return not_there(f"Logged model with id={model_id} not found")


def model_folder(model_id: str) -> str:
    """Where in its run the files of a model are."""
    return f"models/{model_id}"


class KnownModels:
    """Finds models."""

    def __init__(self, store: LoggedModelStore) -> None:
        self._store = store

    async def find(self, visitor: Visitor, model_id: str) -> tuple[LoggedModel, run_pb2.Run]:
        """Returns a model, a deleted one too, without tags, params and metrics, and its run; raises MlflowError."""
        found = await self._store.find(visitor.workspace.workspace, model_id) if MODEL_ID.fullmatch(model_id) else None
        if found is None:
            raise model_not_found(model_id)
        try:
            return found, await get_run(visitor, found.run)
        except MlflowError as error:
            raise model_not_found(model_id) if error.status == 404 else error from None

    async def find_active(self, visitor: Visitor, model_id: str) -> tuple[LoggedModel, run_pb2.Run]:
        """Returns a model that is not deleted, as `find` does; raises MlflowError."""
        model, run = await self.find(visitor, model_id)
        if model.is_deleted:
            raise model_not_found(model_id)
        return model, run

    async def get(self, visitor: Visitor, model_id: str) -> LoggedModel:
        """Returns a model that is not deleted, with everything; raises MlflowError."""
        model, _ = await self.find_active(visitor, model_id)
        (whole,) = await self._store.complete([model])
        return whole
