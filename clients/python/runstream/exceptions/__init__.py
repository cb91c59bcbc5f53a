"""The exceptions of the SDK. All of them derive from `AzureMLException`.

`exception.message` is the plain text for people; `str(exception)` adds the class, the inner exception and a JSON error
response. Where the service said why, `exception.reason` is a stable word to branch on (`RUN_NOT_FOUND`) and
`exception.metadata` has the values the message speaks of.
"""

import json
from collections.abc import Mapping
from typing import Any

__all__ = [
    "ActivityFailedException",
    "AuthenticationException",
    "AzureMLAggregatedException",
    "AzureMLException",
    "ComputeTargetException",
    "ExperimentExecutionException",
    "ModelNotFoundException",
    "ModelPathNotFoundException",
    "ProjectSystemException",
    "RunConfigurationException",
    "RunEnvironmentException",
    "ServiceException",
    "SnapshotException",
    "TrainingException",
    "UserErrorException",
    "WebserviceException",
    "WorkspaceException",
]


class AzureMLException(Exception):
    """Base of all exceptions of the SDK; also a queue that could not be flushed and columns of a bad shape."""

    error_code = "ClientError"
    """The `code` of the JSON error response."""

    def __init__(
        self,
        exception_message: str = "",
        inner_exception: BaseException | None = None,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(exception_message)
        self.message = exception_message
        self.inner_exception = inner_exception
        self.reason = reason
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return (
            f"{type(self).__name__}:\n\tMessage: {self.message}\n\tInnerException {self.inner_exception}"
            f"\n\tErrorResponse \n{json.dumps(self.error_response(), indent=4)}"
        )

    def __repr__(self) -> str:
        return str(self)

    def error_response(self) -> dict[str, Any]:
        """The error as a JSON document: `{"error": {"code", "message", ...}}`."""
        error: dict[str, Any] = {"code": self.error_code, "message": self.message}
        if self.reason:
            error["inner_error"] = {"code": self.reason, **self.metadata}
        return {"error": error}


class UserErrorException(AzureMLException):
    """The call was wrong: arguments, names, missing files, a state that does not allow it."""

    error_code = "UserError"


class AuthenticationException(UserErrorException):
    """The credentials are missing, wrong or not sufficient."""


class ServiceException(AzureMLException):
    """The service did not do what was asked.

    `status_code` is the HTTP status that fits: 404 for something that does not exist, 429 for too many calls, 503 for a
    service that cannot be reached, 500 for a defect.
    """

    error_code = "ServiceError"

    def __init__(
        self,
        exception_message: str = "",
        inner_exception: BaseException | None = None,
        *,
        status_code: int = 500,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(exception_message, inner_exception, reason=reason, metadata=metadata)
        self.status_code = status_code


class ActivityFailedException(AzureMLException):
    """The run that was waited for failed; the message has its error as JSON."""


class ExperimentExecutionException(AzureMLException):
    """A run could not be submitted, or its output is no longer followed."""


class RunEnvironmentException(AzureMLException):
    """There is no run of the service here: the script was not submitted."""


class RunConfigurationException(AzureMLException):
    """A run configuration is wrong."""


class SnapshotException(AzureMLException):
    """A snapshot is too large, or the run has one already."""


class ComputeTargetException(AzureMLException):
    """A compute target does not exist or cannot be used."""


class WorkspaceException(AzureMLException):
    """A workspace does not exist or cannot be used."""


class ProjectSystemException(AzureMLException):
    """The configuration of a workspace or project folder cannot be read or written."""


class ModelNotFoundException(AzureMLException):
    """A registered model does not exist."""


class ModelPathNotFoundException(AzureMLException):
    """The file or folder of a model does not exist."""


class WebserviceException(AzureMLException):
    """Kept for imports: Runstream has no web services."""


class TrainingException(AzureMLException):
    """Kept for imports."""


class AzureMLAggregatedException(AzureMLException):
    """Kept for imports."""
