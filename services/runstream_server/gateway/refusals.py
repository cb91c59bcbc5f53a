"""What the services answer when they do not do what was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from runstream_server.rpc.status import STATUS_DETAILS

_UNKNOWN_OUTCOMES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
)


@dataclass
class Refusal(Exception):
    """A service refused a call."""

    code: grpc.StatusCode

    reason: str
    """The stable word of the service, `RUN_NOT_FOUND` for example; empty where it told none."""

    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    retry_seconds: float | None = None
    """When to call again, where the service said so."""

    @property
    def is_of_unknown_outcome(self) -> bool:
        """Whether the service may have done what was asked all the same."""
        return self.code in _UNKNOWN_OUTCOMES


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """What an error of a call says."""
    refusal = Refusal(error.code(), "", error.details() or "")
    details = dict(error.trailing_metadata() or ()).get(STATUS_DETAILS)
    if isinstance(details, bytes):
        for detail in status_pb2.Status.FromString(details).details:
            _add(refusal, detail)
    return refusal


def _add(refusal: Refusal, detail: any_pb2.Any) -> None:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    if detail.Unpack(info):
        refusal.reason, refusal.metadata = info.reason, dict(info.metadata)
    elif detail.Unpack(retry):
        refusal.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
