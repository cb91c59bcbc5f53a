"""Finds experiments by the numbers and names that clients of MLflow know them by."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import grpc

from runstream.api.runs.v1 import experiment_pb2, run_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.gateway.mlflow.errors import RESOURCE_DOES_NOT_EXIST, MlflowError, not_there, wrong
from runstream_server.gateway.mlflow.runs.finding import get_run
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.store.experiments import ExperimentStore, NumberedExperiment
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import ExperimentName

DEFAULT = "Default"
"""The experiment with the number 0, which every workspace has."""

_DISPLAY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_]{0,254}")
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_MOST_REMEMBERED = 10_000
_MOST_KEPT = 200


@dataclass(frozen=True)
class KnownExperiment:
    """An experiment as clients of MLflow know it."""

    numbered: NumberedExperiment
    message: experiment_pb2.Experiment

    @property
    def id(self) -> str:
        """Its number, as a text."""
        return str(self.numbered.number)

    @property
    def name(self) -> str:
        """Its name: what clients of MLflow called it, unless somebody else renamed it since."""
        own, shown = self.numbered.name, self.message.display_name
        return own if own is not None and display_name(own) == shown else shown

    @property
    def is_deleted(self) -> bool:
        """Whether it is archived."""
        return self.message.HasField("archive_time")


def experiment_not_found(experiment_id: str) -> MlflowError:
    """No experiment has this number."""
    return not_there(f"No Experiment with id={experiment_id} exists")


def require_active(experiment: KnownExperiment) -> KnownExperiment:
    """Returns an experiment that is not deleted; raises MlflowError otherwise."""
    if experiment.is_deleted:
        raise wrong(f"The experiment {experiment.id} must be in the 'active' state. Current state is deleted.")
    return experiment


def display_name(name: str) -> str:
    """What the run history calls an experiment of a name: the same where it can, else one made from it."""
    if _DISPLAY_NAME.fullmatch(name):
        return name
    words = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-_")[:_MOST_KEPT] or "experiment"
    return f"{words}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class KnownExperiments:
    """Finds experiments, and numbers those that have no number yet."""

    def __init__(self, store: ExperimentStore) -> None:
        self._store = store
        self._numbers: OrderedDict[str, int] = OrderedDict()

    async def number_of_run(self, visitor: Visitor, run: run_pb2.Run) -> str:
        """The number of the experiment of a run, as a text."""
        if run.experiment not in self._numbers:
            name = ExperimentName.parse(run.experiment)
            self._remember([await self._number(name, run.experiment_display_name)])
        return str(self._numbers[run.experiment])

    async def get(self, visitor: Visitor, experiment_id: str) -> KnownExperiment:
        """Returns an experiment by its number, also an archived one; raises MlflowError if there is none."""
        if not _NUMBER.fullmatch(experiment_id):
            raise experiment_not_found(experiment_id)
        numbered = await self._store.find_number(visitor.workspace.workspace, int(experiment_id))
        if numbered is None and int(experiment_id) == 0:
            return await self._make_default(visitor)
        if numbered is None:
            raise experiment_not_found(experiment_id)
        request = messages.GetExperimentRequest(name=str(numbered.experiment))
        try:
            response = await visitor.call(visitor.services.runs.GetExperiment, request, messages.GetExperimentResponse)
        except Refusal as refusal:
            if refusal.code is not grpc.StatusCode.NOT_FOUND:
                raise
            is_gone = refusal.reason == "EXPERIMENT_NOT_FOUND" and visitor.own_run is None  # not out of reach only
            if numbered.number == 0 and is_gone:
                await self._store.forget(numbered.experiment)
                return await self._make_default(visitor)
            raise experiment_not_found(experiment_id) from None
        return KnownExperiment(numbered, response.experiment)

    async def find_names(self, visitor: Visitor, experiment_ids: Iterable[str]) -> Mapping[str, str]:
        """Returns the numbers of experiments, as texts, by their resource names; those that nobody knows are absent."""
        numbers = {int(each) for each in experiment_ids if _NUMBER.fullmatch(each)}
        found = {each.number: each.experiment for each in await self._find_numbers(visitor, numbers)}
        if 0 in numbers and 0 not in found:
            with suppress(MlflowError):
                found[0] = (await self._make_default(visitor)).numbered.experiment
        return {str(experiment): str(number) for number, experiment in found.items()}

    async def _find_numbers(self, visitor: Visitor, numbers: Collection[int]) -> Sequence[NumberedExperiment]:
        return await self._store.find_numbers(visitor.workspace.workspace, numbers) if numbers else []

    async def _make_default(self, visitor: Visitor) -> KnownExperiment:
        request = messages.CreateExperimentRequest(
            parent=str(visitor.workspace),
            experiment=experiment_pb2.Experiment(display_name=DEFAULT),
            return_existing=True,
        )
        try:
            made = await visitor.call(
                visitor.services.runs.CreateExperiment, request, messages.CreateExperimentResponse
            )
        except Refusal as refusal:
            if refusal.code is grpc.StatusCode.PERMISSION_DENIED:
                raise experiment_not_found("0") from None
            raise
        return (await self.describe([made.experiment]))[0]

    async def find_name(self, visitor: Visitor, name: str) -> KnownExperiment | None:
        """Returns an experiment by its name: the active one, else one that is archived; None if there is none."""
        found = await self._find_named_here(visitor, name) or await self._find_displayed(visitor, name)
        return await self._find_called(visitor, 0, name) if found is None and name == DEFAULT else found

    async def _find_named_here(self, visitor: Visitor, name: str) -> KnownExperiment | None:
        numbered = await self._store.find_name(visitor.workspace.workspace, name)
        return None if numbered is None else await self._find_called(visitor, numbered.number, name)

    async def _find_called(self, visitor: Visitor, number: int, name: str) -> KnownExperiment | None:
        """The experiment of a number, if it is there and has a name."""
        try:
            found = await self.get(visitor, str(number))
        except MlflowError as error:
            if error.code != RESOURCE_DOES_NOT_EXIST:
                raise
            return None
        return found if found.name == name else None

    async def _of_run(self, visitor: Visitor, run: run_pb2.Run) -> experiment_pb2.Experiment:
        request = messages.GetExperimentRequest(name=run.experiment)
        response = await visitor.call(visitor.services.runs.GetExperiment, request, messages.GetExperimentResponse)
        return response.experiment

    async def _find_displayed(self, visitor: Visitor, name: str) -> KnownExperiment | None:
        """Looks among all experiments, also by the names that other clients see; with the token of a run at its own."""
        request = messages.ListExperimentsRequest(
            parent=str(visitor.workspace),
            view=experiment_pb2.EXPERIMENT_VIEW_ALL,
            filter=f"display_name = {quoted(name)}",
            page_size=1_000,
        )
        own = visitor.own_run
        listed: Sequence[experiment_pb2.Experiment]
        if own is not None:
            listed = [await self._of_run(visitor, await get_run(visitor, own.run))]
        else:
            list_experiments = visitor.services.runs.ListExperiments
            listed = (await visitor.call(list_experiments, request, messages.ListExperimentsResponse)).experiments
        found = [each for each in await self.describe(listed) if name in (each.name, each.message.display_name)]
        return min(found, key=lambda each: (each.name != name, each.is_deleted), default=None)

    async def describe(self, experiments: Iterable[experiment_pb2.Experiment]) -> Sequence[KnownExperiment]:
        """Returns experiments of one workspace as clients know them, in their order."""
        by_name = {ExperimentName.parse(each.name): each for each in experiments}
        if not by_name:
            return []
        workspace = next(iter(by_name)).workspace
        known = dict(await self._store.find_all(workspace, list(by_name)))
        new = sorted(by_name.keys() - known.keys(), key=lambda name: by_name[name].create_time.ToNanoseconds())
        for name in [name for name in new if by_name[name].display_name == DEFAULT]:
            known[name] = await self._number(name, DEFAULT)
        if others := [name for name in new if name not in known]:
            known |= await self._store.add_all(workspace, others)
        self._remember(known.values())
        return [KnownExperiment(known[name], experiment) for name, experiment in by_name.items()]

    async def _number(self, name: ExperimentName, shown: str) -> NumberedExperiment:
        wanted = 0 if shown == DEFAULT else None
        return await self._store.add(name, number=wanted, name=None, artifact_location="")

    def _remember(self, experiments: Iterable[NumberedExperiment]) -> None:
        for each in experiments:
            self._numbers[str(each.experiment)] = each.number
        while len(self._numbers) > _MOST_REMEMBERED:
            self._numbers.popitem(last=False)


def quoted(text: str) -> str:
    """A text as a value of the filter language of the run history that stands for itself."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{escaped}"'
