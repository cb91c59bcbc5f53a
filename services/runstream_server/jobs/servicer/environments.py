"""The methods about environments."""

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.jobs.convert.environments import decode_registered, encode_environment
from runstream_server.jobs.limits import Checks
from runstream_server.jobs.servicer.base import Context, Methods
from runstream_server.names import EnvironmentName, WorkspaceName
from runstream_server.paging import page_size, page_token, read_page_token


class EnvironmentMethods(Methods):
    """The methods about environments."""

    async def RegisterEnvironment(
        self, request: messages.RegisterEnvironmentRequest, context: Context
    ) -> messages.RegisterEnvironmentResponse:
        workspace, checks = WorkspaceName.parse(request.parent, "parent"), Checks()
        environment_id = checks.environment_id("environment_id", request.environment_id)
        definition = decode_registered(checks, "definition", request.definition)
        checks.done()
        environment = await self._rules.environments.register(workspace, environment_id, definition)
        return messages.RegisterEnvironmentResponse(environment=encode_environment(environment))

    async def GetEnvironment(
        self, request: messages.GetEnvironmentRequest, context: Context
    ) -> messages.GetEnvironmentResponse:
        environment = await self._rules.environments.get(EnvironmentName.parse(request.name))
        return messages.GetEnvironmentResponse(environment=encode_environment(environment))

    async def ListEnvironments(
        self, request: messages.ListEnvironmentsRequest, context: Context
    ) -> messages.ListEnvironmentsResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        size = page_size(request.page_size, 100, 1_000)
        listing = ("ListEnvironments", str(workspace))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        page, has_more = await self._rules.environments.list_latest(workspace, after, size)
        return messages.ListEnvironmentsResponse(
            environments=map(encode_environment, page),
            next_page_token=page_token(listing, [page[-1].environment]) if has_more else "",
        )
