"""Where the files are that requests name: in which run, and below which folder of it."""

from dataclasses import dataclass

from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.errors import MlflowError, not_there
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments
from runstream_server.gateway.mlflow.files.paths import Location
from runstream_server.gateway.mlflow.models.known import KnownModels, model_folder, model_not_found
from runstream_server.gateway.mlflow.runs.documents import is_deleted
from runstream_server.gateway.mlflow.runs.finding import get_run, run_deleted
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder of a run."""

    run: RunName

    root: str
    """What listings start at: a folder of the run without a `/` at its end, or empty for the run as a whole."""

    path: str
    """Below that; empty: that itself."""

    @property
    def whole_path(self) -> str:
        """The path in the run."""
        return "/".join(part for part in (self.root, self.path) if part)

    @property
    def folder(self) -> str:
        """What the paths of all files in this folder start with."""
        path = self.whole_path
        return f"{path}/" if path else ""


def artifact_not_found(path: str) -> MlflowError:
    """There is no such file."""
    return not_there(f"No artifact with path={path} exists")


class ArtifactPlaces:
    """Finds places, if they are in reach of who asks."""

    def __init__(self, experiments: KnownExperiments, models: KnownModels) -> None:
        self._experiments = experiments
        self._models = models

    async def find(self, visitor: Visitor, location: Location, *, to_write: bool = False) -> Place:
        """Returns the place of a path; raises MlflowError if there is none, or it takes no changes any more."""
        if location.model_id:
            return await self._in_model(visitor, location, to_write=to_write)
        run = await get_run(visitor, location.run_id)
        if await self._experiments.number_of_run(visitor, run) != location.experiment_id:
            raise not_there(f"Run with id={location.run_id} not found in experiment {location.experiment_id}")
        _check_active(run, location.run_id, to_write=to_write)
        return Place(RunName.parse(run.name), "", location.path)

    async def _in_model(self, visitor: Visitor, location: Location, *, to_write: bool) -> Place:
        model, run = await self._models.find(visitor, location.model_id)
        if str(model.experiment_number) != location.experiment_id or (to_write and model.is_deleted):
            raise model_not_found(location.model_id)
        _check_active(run, model.run, to_write=to_write)
        return Place(RunName.parse(run.name), model_folder(model.model_id), location.path)


def _check_active(run: run_pb2.Run, run_id: str, *, to_write: bool) -> None:
    if to_write and is_deleted(run):
        raise run_deleted(run_id)
