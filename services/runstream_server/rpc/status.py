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
    PermissionDenied,
    ResourceExhausted,
    Retryable,
    RunstreamError,
    Unauthenticated,
    Unavailable,
)

DOMAIN = "runstream"
STATUS_DETAILS = "grpc-status-details-bin"

STATUS_CODES: Mapping[type[RunstreamError], grpc.StatusCode] = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Aborted: grpc.StatusCode.ABORTED,
    DataLoss: grpc.StatusCode.DATA_LOSS,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_MAX_MESSAGE_BYTES = 1_000
_MAX_VALUE_BYTES = 300
_MAX_METADATA_BYTES = 1_500
_MAX_VIOLATIONS_BYTES = 2_000
"""Together small enough: gRPC drops the status of a call whose metadata takes more than 8 KiB."""


def status_code(error: RunstreamError) -> grpc.StatusCode:
    """The status code of an error: that of its category."""
    return next(STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES)


def status_details(error: RunstreamError) -> bytes:
    """The serialized `google.rpc.Status` of an error, below 5 KiB since it travels as metadata."""
    status = status_pb2.Status(code=status_code(error).value[0], message=status_message(error))
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()


def status_message(error: RunstreamError) -> str:
    """The message of an error, cut to 1,000 bytes of how it travels: percent-encoded."""
    size = 0
    for place, character in enumerate(error.message):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode(errors="replace"))
        if size > _MAX_MESSAGE_BYTES:
            return error.message[:place]
    return error.message


def _within(text: str, limit: int) -> str:
    """The text, cut to `limit` bytes."""
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


def _details(error: RunstreamError) -> list[Message]:
    metadata: dict[str, str] = {}
    room = _MAX_METADATA_BYTES
    for key, value in error.metadata.items():
        metadata[key] = _within(value, min(_MAX_VALUE_BYTES, room))
        room -= len(metadata[key].encode())
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    if isinstance(error, InvalidArgument) and error.violations:
        return [info, _bad_request(error)]
    if isinstance(error, Retryable):
        delay = duration_pb2.Duration()
        delay.FromTimedelta(error.retry_after)
        return [info, error_details_pb2.RetryInfo(retry_delay=delay)]
    return [info]


def _bad_request(error: InvalidArgument) -> error_details_pb2.BadRequest:
    bad = error_details_pb2.BadRequest()
    for each in error.violations:
        if bad.ByteSize() > _MAX_VIOLATIONS_BYTES:
            break
        field, description = _within(each.field, _MAX_VALUE_BYTES), _within(each.problem, _MAX_VALUE_BYTES)
        bad.field_violations.add(field=field, description=description)
    return bad
