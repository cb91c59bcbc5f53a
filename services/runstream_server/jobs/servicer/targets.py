"""The methods about compute targets."""

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.jobs.convert.targets import decode_new_target, decode_target_changes, encode_target
from runstream_server.jobs.model import ComputeTarget
from runstream_server.jobs.servicer.base import Context, Methods
from runstream_server.names import ComputeTargetName, WorkspaceName
from runstream_server.paging import fitting, page_size, page_token, read_page_token


class TargetMethods(Methods):
    """The methods about compute targets."""

    async def GetComputeTarget(
        self, request: messages.GetComputeTargetRequest, context: Context
    ) -> messages.GetComputeTargetResponse:
        target = await self._rules.targets.get(ComputeTargetName.parse(request.name))
        return messages.GetComputeTargetResponse(compute_target=await self._encoded(target))

    async def ListComputeTargets(
        self, request: messages.ListComputeTargetsRequest, context: Context
    ) -> messages.ListComputeTargetsResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        size = page_size(request.page_size, 100, 1_000)
        listing = ("ListComputeTargets", str(workspace))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        targets = await self._rules.targets.list_targets(workspace, after, size + 1)
        statuses = await self._rules.targets.status_messages(targets[:size])
        encoded = [encode_target(target, status) for target, status in zip(targets, statuses, strict=False)]
        page = fitting(encoded, messages.ComputeTarget.ByteSize)
        last = targets[len(page) - 1].name.compute_target
        return messages.ListComputeTargetsResponse(
            compute_targets=page,
            next_page_token=page_token(listing, [last]) if len(targets) > len(page) else "",
        )

    async def CreateComputeTarget(
        self, request: messages.CreateComputeTargetRequest, context: Context
    ) -> messages.CreateComputeTargetResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        target = await self._rules.targets.create(decode_new_target(request, workspace.workspace))
        return messages.CreateComputeTargetResponse(compute_target=await self._encoded(target))

    async def UpdateComputeTarget(
        self, request: messages.UpdateComputeTargetRequest, context: Context
    ) -> messages.UpdateComputeTargetResponse:
        new, fields = decode_target_changes(request.compute_target, request.update_mask)
        target = await self._rules.targets.update(new, fields)
        return messages.UpdateComputeTargetResponse(compute_target=await self._encoded(target))

    async def DeleteComputeTarget(
        self, request: messages.DeleteComputeTargetRequest, context: Context
    ) -> messages.DeleteComputeTargetResponse:
        await self._rules.targets.delete(ComputeTargetName.parse(request.name))
        return messages.DeleteComputeTargetResponse()

    async def _encoded(self, target: ComputeTarget) -> messages.ComputeTarget:
        return encode_target(target, await self._rules.targets.status_message(target))
