"""The methods about workspaces."""

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import workspace_pb2
from runstream_server.auth import caller
from runstream_server.names import check_workspace_id
from runstream_server.runs import limits
from runstream_server.runs.convert.decoding import (
    decode_log_retention,
    decode_tags,
    decode_workspace_edits,
    decode_workspace_name,
)
from runstream_server.runs.convert.encoding import encode_workspace
from runstream_server.runs.limits import Checks
from runstream_server.runs.model import Workspace
from runstream_server.runs.servicer.base import Context, Methods


class WorkspaceMethods(Methods):
    """The methods about workspaces."""

    def _encoded(self, workspace: Workspace) -> workspace_pb2.Workspace:
        return encode_workspace(workspace, self._rules.gateway_url)

    async def CreateWorkspace(
        self, request: messages.CreateWorkspaceRequest, context: Context
    ) -> messages.CreateWorkspaceResponse:
        new = request.workspace
        checks = Checks()
        request_id = checks.request_id("request_id", request.request_id)
        display_name = checks.text("workspace.display_name", new.display_name, limits.DISPLAY_NAME)
        description = checks.text("workspace.description", new.description, limits.DESCRIPTION)
        tags = decode_tags(checks, "workspace.tags", new.tags)
        log_retention = decode_log_retention(checks, "workspace.log_retention", new)
        checks.done()
        workspace = await self._rules.workspaces.create(
            check_workspace_id(request.workspace_id, "workspace_id"),
            display_name=display_name,
            description=description,
            tags=tags,
            log_retention=log_retention,
            request_id=request_id,
            return_existing=request.return_existing,
        )
        return messages.CreateWorkspaceResponse(workspace=self._encoded(workspace))

    async def GetWorkspace(
        self, request: messages.GetWorkspaceRequest, context: Context
    ) -> messages.GetWorkspaceResponse:
        workspace = await self._rules.workspaces.get(decode_workspace_name(request.name, "name"))
        return messages.GetWorkspaceResponse(workspace=self._encoded(workspace))

    async def ListWorkspaces(
        self, request: messages.ListWorkspacesRequest, context: Context
    ) -> messages.ListWorkspacesResponse:
        checks = Checks()
        page_size = checks.page_size(request.page_size)
        checks.done()
        page, token = await self._rules.workspaces.list(page_size, request.page_token, only=caller().workspace)
        return messages.ListWorkspacesResponse(
            workspaces=[self._encoded(workspace) for workspace in page], next_page_token=token
        )

    async def UpdateWorkspace(
        self, request: messages.UpdateWorkspaceRequest, context: Context
    ) -> messages.UpdateWorkspaceResponse:
        name = decode_workspace_name(request.workspace.name, "workspace.name")
        edits = decode_workspace_edits("workspace", request.workspace, request.update_mask)
        workspace = await self._rules.workspaces.update(name, edits)
        return messages.UpdateWorkspaceResponse(workspace=self._encoded(workspace))

    async def DeleteWorkspace(
        self, request: messages.DeleteWorkspaceRequest, context: Context
    ) -> messages.DeleteWorkspaceResponse:
        workspace = decode_workspace_name(request.name, "name")
        await self._rules.workspaces.delete(workspace)
        await self._rules.tokens.revoke_all(workspace)
        return messages.DeleteWorkspaceResponse()
