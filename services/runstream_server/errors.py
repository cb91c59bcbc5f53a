"""What can go wrong, in words that callers can branch on. Few categories; `rpc.status` gives each its status code."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


class RunstreamError(Exception):
    """An error that the caller is told about.

    The message says what happened and what to do. Each value in it is metadata as well, so programs need not parse it.
    """

    reason: ClassVar[str]
    """A stable word that clients branch on: never renamed."""

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}


class NotFound(RunstreamError):
    """Something named in the request is not there."""


class AlreadyExists(RunstreamError):
    """Something the request would create is there already."""


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that breaks its limits."""

    field: str
    """The path of the field in the request: `run.tags[3].key`."""

    problem: str
    """What is wrong and what would be right."""


class InvalidArgument(RunstreamError):
    """The request is wrong, whatever the state of the system."""

    violations: Sequence[FieldViolation] = ()


class InvalidField(InvalidArgument):
    """Fields break their documented limits."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, problem: str, *more: FieldViolation) -> None:
        self.violations = (FieldViolation(field, problem), *more)
        super().__init__(
            "; ".join(f"{violation.field}: {violation.problem}" for violation in self.violations), field=field
        )


class InvalidPageToken(InvalidArgument):
    """A page token is not from an earlier page of the same listing."""

    reason = "INVALID_PAGE_TOKEN"

    def __init__(self) -> None:
        super().__init__(
            "the page token is not from an earlier page of this listing; start again without it, and keep the other"
            " fields of the request as they are from page to page"
        )


class ProtocolError(InvalidArgument):
    """A message came on a stream where it has no place."""

    reason = "PROTOCOL_ERROR"


class MalformedMessage(InvalidArgument):
    """The bytes of a message are not such a message."""

    reason = "MALFORMED_MESSAGE"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the message cannot be read: {problem}; send what the contract says, with all text in UTF-8")


class Unauthenticated(RunstreamError):
    """Nobody knows who calls."""


class PermissionDenied(RunstreamError):
    """The caller may know of what the request names, but may not do this."""


class FailedPrecondition(RunstreamError):
    """The request is fine, but not in the present state."""


class Aborted(RunstreamError):
    """Somebody else got in between."""


class DataLoss(RunstreamError):
    """Stored bytes do not match their checksum."""

    reason = "DATA_LOSS"


class Retryable(RunstreamError):
    """The same call may succeed later."""

    retry_after: timedelta = timedelta(seconds=1)
    """When to call again."""


class ResourceExhausted(Retryable):
    """The caller, or all callers together, asked for too much at once."""


class Unavailable(Retryable):
    """The service cannot answer at present."""


class TooManyCalls(ResourceExhausted):
    """The process has as many calls of this class as it takes."""

    reason = "TOO_MANY_CALLS"

    def __init__(self, call_class: str, limit: int) -> None:
        super().__init__(
            f"this server has {limit} open {call_class} calls, which is all it takes; call again later",
            call_class=call_class,
            limit=limit,
        )


class Draining(Unavailable):
    """The server stops."""

    reason = "DRAINING"
    retry_after = timedelta(milliseconds=200)

    def __init__(self) -> None:
        super().__init__("this server stops; connect again to reach another one")


class Interrupted(Unavailable):
    """A part of the call was given up by the server."""

    reason = "INTERRUPTED"

    def __init__(self) -> None:
        super().__init__("the server gave up the call; call again")


class DatabaseUnavailable(Unavailable):
    """Postgres does not answer."""

    reason = "DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the database does not answer; call again")


class StatementTimedOut(DatabaseUnavailable):
    """Postgres took longer for a statement than it may."""


class LockTimedOut(DatabaseUnavailable):
    """Somebody held a lock for longer than a statement waits for it."""


class BucketUnavailable(Unavailable):
    """The object store does not answer."""

    reason = "BUCKET_UNAVAILABLE"

    def __init__(self, message: str = "the object store does not answer; call again", **metadata: object) -> None:
        super().__init__(message, **metadata)


class BucketRefused(BucketUnavailable):
    """The object store answers that we may not, until whoever runs the services changes something."""

    reason = "BUCKET_REFUSED"
    retry_after = timedelta(seconds=30)

    def __init__(self, code: str) -> None:
        super().__init__(
            f"the object store refuses what the services ask ({code}); whoever runs them checks RUNSTREAM_S3_BUCKET,"
            " the keys in RUNSTREAM_S3_ACCESS_KEY and RUNSTREAM_S3_SECRET_KEY, and what these may do; call again then",
            code=code,
        )


class BucketClockSkewed(BucketUnavailable):
    """The object store takes our requests for old ones, or for some of the future."""

    reason = "BUCKET_CLOCK_SKEWED"
    retry_after = timedelta(seconds=30)

    def __init__(self) -> None:
        super().__init__(
            "the clocks of the services and of the object store differ by too much; whoever runs them sets the clocks"
            " right, best by NTP; call again then"
        )


class DeadlineExceeded(RunstreamError):
    """The call took longer than it may."""

    reason = "DEADLINE_EXCEEDED"

    def __init__(
        self,
        message: str = "the call took longer than its deadline, or than this server gives any call",
        **metadata: object,
    ) -> None:
        super().__init__(message, **metadata)


class ConfigurationError(Exception):
    """A setting is missing or wrong; the process does not start."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


def only_cause(error: Exception) -> Exception:
    """What happened, without the groups that tasks put around it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
