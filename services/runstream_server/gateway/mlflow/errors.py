"""What clients of MLflow are told when something goes wrong, and which status each has."""

import json
from collections.abc import Mapping
from typing import Any

import grpc

from runstream_server.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Retryable,
    RunstreamError,
    Unauthenticated,
)
from runstream_server.gateway.refusals import Refusal

INVALID_PARAMETER_VALUE = "INVALID_PARAMETER_VALUE"
RESOURCE_ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
RESOURCE_DOES_NOT_EXIST = "RESOURCE_DOES_NOT_EXIST"
ENDPOINT_NOT_FOUND = "ENDPOINT_NOT_FOUND"
INTERNAL_ERROR = "INTERNAL_ERROR"

_TOKENS = (
    "MLflow shows the one in MLFLOW_TRACKING_TOKEN; with MLFLOW_TRACKING_AUTH=runstream the one of Runstream, where"
    " that is installed too, at the very URL that `runstream workspace show` tells"
)

STATUSES: Mapping[str, int] = {
    INVALID_PARAMETER_VALUE: 400,
    "BAD_REQUEST": 400,
    RESOURCE_ALREADY_EXISTS: 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    RESOURCE_DOES_NOT_EXIST: 404,
    ENDPOINT_NOT_FOUND: 404,
    "RESOURCE_CONFLICT": 409,
    "REQUEST_LIMIT_EXCEEDED": 429,
    INTERNAL_ERROR: 500,
    "DATA_LOSS": 500,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""HTTP statuses by error code. Clients repeat what is answered with 429, 500, 503 and 504."""

_OF_STATUS: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.NOT_FOUND: RESOURCE_DOES_NOT_EXIST,
    grpc.StatusCode.ALREADY_EXISTS: RESOURCE_ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT: INVALID_PARAMETER_VALUE,
    grpc.StatusCode.FAILED_PRECONDITION: INVALID_PARAMETER_VALUE,
    grpc.StatusCode.OUT_OF_RANGE: INVALID_PARAMETER_VALUE,
    grpc.StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
    grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "REQUEST_LIMIT_EXCEEDED",
    grpc.StatusCode.ABORTED: "TEMPORARILY_UNAVAILABLE",
    grpc.StatusCode.UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    grpc.StatusCode.CANCELLED: "TEMPORARILY_UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    grpc.StatusCode.DATA_LOSS: "DATA_LOSS",
}

_SHOWN = 200
"""Characters of a wrong value that are repeated."""


class MlflowError(Exception):
    """An error that the caller is told about."""

    def __init__(self, code: str, message: str, *, retry_seconds: float | None = None) -> None:
        """`code` is one of `STATUSES`; `retry_seconds` says when to call again, where that may help."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_seconds = retry_seconds

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUSES[self.code]


def missing_parameter(name: str) -> MlflowError:
    """A required parameter is absent, null or empty."""
    return MlflowError(INVALID_PARAMETER_VALUE, f"Missing value for required parameter '{name}'.")


def invalid_parameter(path: str, value: Any, hint: str = "") -> MlflowError:
    """A parameter has a value that it cannot have; `path` is `metrics[0].value` for one inside of a list."""
    ending = f": {hint}" if hint else ""
    return MlflowError(
        INVALID_PARAMETER_VALUE, f"Invalid value {_shown(value)} for parameter '{path}' supplied{ending}"
    )


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "..."
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def not_there(message: str) -> MlflowError:
    """Something named in the request does not exist."""
    return MlflowError(RESOURCE_DOES_NOT_EXIST, message)


def wrong(message: str) -> MlflowError:
    """The request cannot be fulfilled as it is."""
    return MlflowError(INVALID_PARAMETER_VALUE, message)


def taken(message: str) -> MlflowError:
    """Something of the name exists already."""
    return MlflowError(RESOURCE_ALREADY_EXISTS, message)


def of_refusal(refusal: Refusal) -> MlflowError:
    """What is told of a service that refused."""
    code = _OF_STATUS.get(refusal.code, INTERNAL_ERROR)
    return MlflowError(code, refusal.message, retry_seconds=refusal.retry_seconds)


def of_error(error: RunstreamError) -> MlflowError:
    """What is told of an error of our own."""
    match error:
        case NotFound():
            return MlflowError(RESOURCE_DOES_NOT_EXIST, error.message)
        case InvalidArgument() | FailedPrecondition():
            return MlflowError(INVALID_PARAMETER_VALUE, error.message)
        case Unauthenticated():
            return MlflowError("UNAUTHENTICATED", f"{error.message}. {_TOKENS}")
        case PermissionDenied():
            return MlflowError("PERMISSION_DENIED", error.message)
        case Retryable():
            seconds = error.retry_after.total_seconds()
            return MlflowError("TEMPORARILY_UNAVAILABLE", error.message, retry_seconds=seconds)
    return MlflowError(INTERNAL_ERROR, error.message)
