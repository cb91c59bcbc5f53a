"""Puts the job service together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runstream.api.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from runstream_server.jobs.rules import Jobs
from runstream_server.jobs.servicer import JobServicer
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import RunHistory


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves JobService on `server` while the context is open."""
    add_JobServiceServicer_to_server(JobServicer(Jobs(RunHistory(platform.channel, platform.stream_channel))), server)  # type: ignore[arg-type]
    yield
