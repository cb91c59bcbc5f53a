"""Why a job fails other than by its script."""

from typing import Final

RUNNER_DIED: Final = "RunnerDied"


class JobFailed(Exception):
    """A job that cannot be executed, or whose results cannot be stored."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
