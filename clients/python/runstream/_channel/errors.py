"""Turns the status of a failed call into an exception of the SDK."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from runstream._channel.address import MODE_VARIABLE, OFFLINE, REMEDY, is_secure
from runstream._channel.tokens import TOKEN_REASONS
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException, UserErrorException

USER_ERRORS = frozenset({"INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE"})
AUTHENTICATION_ERRORS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
GIVE = (
    "RUNSTREAM_TOKEN_FILE, RUNSTREAM_TOKEN or `runstream login --token-stdin` give another, `runstream token create`"
    " makes one."
)
HTTP_STATUS = {
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 503,
    "UNIMPLEMENTED": 501,
}


@dataclass(frozen=True)
class CallFailure:
    """How a call failed."""

    code: str
    """The name of the gRPC status code, `NOT_FOUND` for example."""

    message: str
    """What the status says, for people."""

    reason: str = ""
    """`google.rpc.ErrorInfo.reason`; empty when the peer sent none."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    """`google.rpc.ErrorInfo.metadata`."""

    retry_seconds: float | None = None
    """`google.rpc.RetryInfo.retry_delay`; None when the peer sent none."""

    @property
    def is_transient(self) -> bool:
        """Whether the same call may succeed when it is repeated."""
        told_to_wait = self.code == "RESOURCE_EXHAUSTED" and self.retry_seconds is not None
        return self.code == "UNAVAILABLE" or told_to_wait


class CallFailed(Exception):
    """A call ended with a status other than OK."""

    def __init__(self, failure: CallFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def read_failure(code: str, message: str | None, details: bytes | None) -> CallFailure:
    """A failure from a status and the value of its `grpc-status-details-bin` metadata, which may be anything."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in _details(details):
        for wanted in (info, retry):
            detail.Unpack(wanted)
    delay = retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None
    return CallFailure(code, message or "", info.reason, dict(info.metadata), delay)


def to_exception(failure: CallFailure, address: str, token_source: str = "") -> AzureMLException:
    """The exception that users see for `failure` of a call to `address`, with a token that `token_source` gave."""
    if failure.code == "UNAVAILABLE" and not failure.reason:  # said by gRPC itself: nobody answered
        failure = unreachable(address)
    reason, metadata = failure.reason, failure.metadata
    if failure.code in USER_ERRORS:
        return UserErrorException(failure.message, reason=reason, metadata=metadata)
    if failure.code in AUTHENTICATION_ERRORS:
        message = _authentication_message(failure, address, token_source)
        return AuthenticationException(message, reason=reason, metadata=metadata)
    status = HTTP_STATUS.get(failure.code, 500)
    message = _service_message(failure, address)
    return ServiceException(message, status_code=status, reason=reason, metadata=metadata)


def is_away(error: BaseException) -> bool:
    """Whether the services, or the bucket, were away: later the same may succeed."""
    return isinstance(error, ServiceException) and error.status_code == HTTP_STATUS["UNAVAILABLE"]


def unreachable(address: str) -> CallFailure:
    """The failure of a call to services that nobody answers for."""
    offline = f"{MODE_VARIABLE}={OFFLINE} records without it, for `runstream sync` to upload"
    remedy = f"{REMEDY}, or RUNSTREAM_CA_FILE if its certificate is of an authority of your own"
    message = f"Runstream cannot be reached at {address}: {remedy if is_secure(address) else REMEDY}. {offline}."
    return CallFailure("UNAVAILABLE", message, "UNREACHABLE")


def _authentication_message(failure: CallFailure, address: str, token_source: str) -> str:
    if failure.reason not in TOKEN_REASONS:
        return failure.message
    said = failure.message.rstrip(".") or f"Runstream at {address} refuses the call"
    source = ""
    if token_source:
        is_missing = failure.reason == "TOKEN_MISSING"
        source = f"{token_source} has no token. " if is_missing else f"The token is that of {token_source}. "
    return f"{said}. {source}{GIVE}"


def _service_message(failure: CallFailure, address: str) -> str:
    if failure.code == "DEADLINE_EXCEEDED" and failure.reason != "PART_TOO_SLOW":
        return f"Runstream at {address} did not answer in time; try again."
    return failure.message or f"The call to {address} failed with {failure.code}."


def _details(serialized: bytes | None) -> list[Any]:
    try:
        return list(status_pb2.Status.FromString(serialized or b"").details)
    except DecodeError:
        return []
