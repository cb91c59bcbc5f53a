"""Between messages and the words of jobs."""

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.jobs.model import ComputeTarget, TargetKind

_KINDS = {TargetKind.LOCAL: messages.COMPUTE_TARGET_KIND_LOCAL}


def encode_target(target: ComputeTarget) -> messages.ComputeTarget:
    """Makes the message of a compute target."""
    return messages.ComputeTarget(name=str(target.name), kind=_KINDS[target.kind])
