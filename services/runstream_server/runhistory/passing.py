"""Passes on what the run history refuses, in its own words."""

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2

from runstream_server.errors import (
    AlreadyExists,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    RunstreamError,
)

_DETAILS = "grpc-status-details-bin"
_CATEGORIES: Mapping[grpc.StatusCode, type[RunstreamError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
}


def refusal(error: grpc.aio.AioRpcError) -> RunstreamError | None:
    """The error to pass on to a caller, with category, reason, message and fields as they were; None if it is none."""
    category, info = _CATEGORIES.get(error.code()), error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    for detail in _details(error).details:
        for wanted in (info, bad):
            detail.Unpack(wanted)
    if category is None or not info.reason:
        return None
    passed = category(error.details() or "", **info.metadata)
    passed.reason = info.reason  # type: ignore[misc]
    if isinstance(passed, InvalidArgument):
        passed.violations = [FieldViolation(each.field, each.description) for each in bad.field_violations]
    return passed


def _details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            status.ParseFromString(value)
    return status
