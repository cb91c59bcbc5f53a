"""The methods about experiments."""

from runstream.api.runs.v1 import experiment_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.errors import InvalidField
from runstream_server.names import ExperimentName
from runstream_server.runs import limits
from runstream_server.runs.convert.decoding import decode_edits, decode_tags, decode_workspace_name
from runstream_server.runs.convert.encoding import encode_experiment
from runstream_server.runs.limits import Checks
from runstream_server.runs.servicer.base import Context, Methods

_ARCHIVED: dict[int, bool | None] = {
    experiment_pb2.EXPERIMENT_VIEW_UNSPECIFIED: False,
    experiment_pb2.EXPERIMENT_VIEW_ACTIVE_ONLY: False,
    experiment_pb2.EXPERIMENT_VIEW_ARCHIVED_ONLY: True,
    experiment_pb2.EXPERIMENT_VIEW_ALL: None,
}


class ExperimentMethods(Methods):
    """The methods about experiments."""

    async def CreateExperiment(
        self, request: messages.CreateExperimentRequest, context: Context
    ) -> messages.CreateExperimentResponse:
        new = request.experiment
        checks = Checks()
        request_id = checks.request_id("request_id", request.request_id)
        display_name = checks.experiment_display_name("experiment.display_name", new.display_name)
        description = checks.text("experiment.description", new.description, limits.DESCRIPTION)
        tags = decode_tags(checks, "experiment.tags", new.tags, limits.EXPERIMENT_TAG)
        checks.done()
        experiment = await self._rules.experiments.create(
            decode_workspace_name(request.parent, "parent"),
            display_name=display_name,
            description=description,
            tags=tags,
            request_id=request_id,
            return_existing=request.return_existing,
        )
        return messages.CreateExperimentResponse(experiment=encode_experiment(experiment))

    async def GetExperiment(
        self, request: messages.GetExperimentRequest, context: Context
    ) -> messages.GetExperimentResponse:
        name = ExperimentName.parse(request.name)
        experiment = await self._rules.experiments.get(name.workspace, name.experiment)
        return messages.GetExperimentResponse(experiment=encode_experiment(experiment))

    async def ListExperiments(
        self, request: messages.ListExperimentsRequest, context: Context
    ) -> messages.ListExperimentsResponse:
        if request.view not in _ARCHIVED:
            raise InvalidField("view", f"expected a value of ExperimentView; got {request.view}")
        checks = Checks()
        page_size = checks.page_size(request.page_size)
        checks.done()
        page, token = await self._rules.experiments.list(
            decode_workspace_name(request.parent, "parent"),
            archived=_ARCHIVED[request.view],
            filter_text=request.filter,
            page_size=page_size,
            page_token=request.page_token,
        )
        return messages.ListExperimentsResponse(
            experiments=[encode_experiment(experiment) for experiment in page], next_page_token=token
        )

    async def UpdateExperiment(
        self, request: messages.UpdateExperimentRequest, context: Context
    ) -> messages.UpdateExperimentResponse:
        name = ExperimentName.parse(request.experiment.name, "experiment.name")
        edits = decode_edits("experiment", request.experiment, request.update_mask)
        experiment = await self._rules.experiments.update(name.workspace, name.experiment, edits)
        return messages.UpdateExperimentResponse(experiment=encode_experiment(experiment))

    async def ArchiveExperiment(
        self, request: messages.ArchiveExperimentRequest, context: Context
    ) -> messages.ArchiveExperimentResponse:
        name = ExperimentName.parse(request.name)
        experiment = await self._rules.experiments.archive(name.workspace, name.experiment)
        return messages.ArchiveExperimentResponse(experiment=encode_experiment(experiment))

    async def ReactivateExperiment(
        self, request: messages.ReactivateExperimentRequest, context: Context
    ) -> messages.ReactivateExperimentResponse:
        name = ExperimentName.parse(request.name)
        experiment = await self._rules.experiments.reactivate(name.workspace, name.experiment)
        return messages.ReactivateExperimentResponse(experiment=encode_experiment(experiment))

    async def DeleteExperiment(
        self, request: messages.DeleteExperimentRequest, context: Context
    ) -> messages.DeleteExperimentResponse:
        name = ExperimentName.parse(request.name)
        await self._rules.experiments.delete(name.workspace, name.experiment)
        return messages.DeleteExperimentResponse()
