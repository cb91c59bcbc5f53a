"""Turns errors into statuses: the only place that knows both."""

from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from runstream_server.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Retryable,
    RunstreamError,
    Unavailable,
)

DOMAIN = "runstream"
STATUS_DETAILS = "grpc-status-details-bin"

STATUS_CODES: Mapping[type[RunstreamError], grpc.StatusCode] = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Aborted: grpc.StatusCode.ABORTED,
    DataLoss: grpc.StatusCode.DATA_LOSS,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_MAX_MESSAGE = 1_000
_MAX_VALUE = 300
_MAX_VIOLATIONS = 10


def status_code(error: RunstreamError) -> grpc.StatusCode:
    """The status code of an error: that of its category."""
    return next(STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES)


def status_details(error: RunstreamError) -> bytes:
    """The serialized `google.rpc.Status` of an error, below 8 KiB since it travels as metadata."""
    status = status_pb2.Status(code=status_code(error).value[0], message=error.message[:_MAX_MESSAGE])
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()


def _details(error: RunstreamError) -> list[Message]:
    metadata = {key: value[:_MAX_VALUE] for key, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    if isinstance(error, InvalidArgument) and error.violations:
        return [info, _bad_request(error)]
    if isinstance(error, Retryable):
        delay = duration_pb2.Duration()
        delay.FromTimedelta(error.retry_after)
        return [info, error_details_pb2.RetryInfo(retry_delay=delay)]
    return [info]


def _bad_request(error: InvalidArgument) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation
    return error_details_pb2.BadRequest(
        field_violations=[
            violation(field=each.field[:_MAX_VALUE], description=each.problem[:_MAX_VALUE])
            for each in error.violations[:_MAX_VIOLATIONS]
        ]
    )
