"""`JobService` on the wire: decode, delegate, encode."""

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceServicer
from runstream_server.jobs.convert import encode_target
from runstream_server.jobs.rules import Jobs
from runstream_server.names import ComputeTargetName, WorkspaceName
from runstream_server.paging import page_size, page_token, read_page_token


class JobServicer(JobServiceServicer):
    """`JobService` on the wire."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def GetComputeTarget(
        self, request: messages.GetComputeTargetRequest, _: object
    ) -> messages.GetComputeTargetResponse:
        target = await self._jobs.get_target(ComputeTargetName.parse(request.name, "name"))
        return messages.GetComputeTargetResponse(compute_target=encode_target(target))

    async def ListComputeTargets(
        self, request: messages.ListComputeTargetsRequest, _: object
    ) -> messages.ListComputeTargetsResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        size = page_size(request.page_size, 100, 1_000)
        listing = ("ListComputeTargets", str(workspace))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        targets = await self._jobs.list_targets(workspace, after, size + 1)
        return messages.ListComputeTargetsResponse(
            compute_targets=[encode_target(target) for target in targets[:size]],
            next_page_token=(
                page_token(listing, [targets[size - 1].name.compute_target]) if len(targets) > size else ""
            ),
        )
