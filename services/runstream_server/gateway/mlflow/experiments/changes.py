"""Makes and renames experiments under the names that clients of MLflow give them."""

from collections.abc import Mapping

from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1 import experiment_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream_server.gateway.mlflow.errors import MlflowError, taken
from runstream_server.gateway.mlflow.experiments.known import KnownExperiment, KnownExperiments, display_name
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.store.experiments import ExperimentStore, NameTaken, NumberedExperiment
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import ExperimentName


def name_taken(name: str) -> MlflowError:
    """Another experiment has the name, perhaps a deleted one."""
    return taken(f"Experiment(name={name}) already exists.")


class ExperimentChanges:
    """Makes and renames experiments, those too whose names the run history does not take.

    Names of deleted experiments stay taken here. What a crash leaves half done, the same request completes.
    """

    def __init__(self, experiments: KnownExperiments, store: ExperimentStore) -> None:
        self._experiments = experiments
        self._store = store

    async def create(self, visitor: Visitor, name: str, artifact_location: str, tags: Mapping[str, str]) -> str:
        """Makes an experiment; returns its number. Raises MlflowError if the name is taken."""
        await self._check_free(visitor, name)
        shown = display_name(name)
        request = messages.CreateExperimentRequest(
            parent=str(visitor.workspace),
            experiment=experiment_pb2.Experiment(
                display_name=shown, tags=[Tag(key=key, value=value) for key, value in tags.items()]
            ),
            return_existing=shown != name,  # made for this name alone: one that is there was left by a crash
        )
        create = visitor.services.runs.CreateExperiment
        try:
            made = await visitor.call(create, request, messages.CreateExperimentResponse)
        except Refusal as refusal:
            raise _told(refusal, name) from None
        numbered = await self._number(ExperimentName.parse(made.experiment.name), name, artifact_location)
        return str(numbered.number)

    async def _number(self, experiment: ExperimentName, name: str, artifact_location: str) -> NumberedExperiment:
        stored = _stored_name(name)
        try:
            numbered = await self._store.add(experiment, number=None, name=stored, artifact_location=artifact_location)
            if numbered.name != stored:
                await self._store.rename(experiment, stored)
        except NameTaken:
            raise name_taken(name) from None
        if numbered.artifact_location != artifact_location:
            await self._store.place(experiment, artifact_location)
        return numbered

    async def rename(self, visitor: Visitor, experiment: KnownExperiment, name: str) -> None:
        """Gives an experiment another name; raises MlflowError if it is taken."""
        await self._check_free(visitor, name, apart_from=experiment)
        changed = experiment_pb2.Experiment(name=experiment.message.name, display_name=display_name(name))
        request = messages.UpdateExperimentRequest(experiment=changed, update_mask=FieldMask(paths=["display_name"]))
        update = visitor.services.runs.UpdateExperiment
        try:
            await visitor.call(update, request, messages.UpdateExperimentResponse)
            await self._store.rename(experiment.numbered.experiment, _stored_name(name))
        except Refusal as refusal:
            raise _told(refusal, name) from None
        except NameTaken:
            raise name_taken(name) from None

    async def _check_free(self, visitor: Visitor, name: str, apart_from: KnownExperiment | None = None) -> None:
        found = await self._experiments.find_name(visitor, name)
        if found is not None and (apart_from is None or found.id != apart_from.id):
            raise name_taken(name)
        if found is None:
            await self._free(visitor, name)

    async def _free(self, visitor: Visitor, name: str) -> None:
        """Takes a name from an experiment that somebody has removed for good."""
        gone = await self._store.find_name(visitor.workspace.workspace, name)
        if gone is not None:
            await self._store.rename(gone.experiment, None)


def _stored_name(name: str) -> str | None:
    return None if display_name(name) == name else name


def _told(refusal: Refusal, name: str) -> Exception:
    return name_taken(name) if refusal.reason == "EXPERIMENT_EXISTS" else refusal
