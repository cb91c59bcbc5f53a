"""How the program ends: what each kind of outcome exits with, and says."""

import enum
import os
import sys
import traceback
from collections.abc import Callable

import click

from runstream._cli.settings import Settings
from runstream.exceptions import (
    AuthenticationException,
    AzureMLException,
    RunConfigurationException,
    ServiceException,
    UserErrorException,
)


class PipeClosed(Exception):
    """The reader of stdout went away."""


class ExitCode(enum.IntEnum):
    """What the program exits with."""

    FINE = 0, "It worked."
    OTHER = 1, "Another error."
    WRONG_CALL = 2, "The call is wrong: an option, an argument, a name, a filter, a query."
    NOT_FOUND = 3, "Something the call names does not exist."
    UNREACHABLE = 4, "No services were found, or they cannot be reached."
    REFUSED = 5, "The services refuse: not allowed, or not in this state."
    RUN_FAILED = 6, "The run that was followed failed or was canceled."
    INTERRUPTED = 130, "Ctrl-C."
    PIPE_CLOSED = 141, "The reader of the output went away."

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        """Makes a code with its meaning."""
        code = int.__new__(cls, value)
        code._value_, code.meaning = value, meaning
        return code


BY_STATUS = {404: ExitCode.NOT_FOUND, 409: ExitCode.REFUSED, 503: ExitCode.UNREACHABLE}
"""By the HTTP status of a `ServiceException`; any other: `OTHER`."""

BY_REASON = {
    "": ExitCode.WRONG_CALL,
    "INVALID_ADDRESS": ExitCode.WRONG_CALL,
    "INVALID_FIELD": ExitCode.WRONG_CALL,
    "INVALID_FILTER": ExitCode.WRONG_CALL,
    "INVALID_ORDER": ExitCode.WRONG_CALL,
    "INVALID_PATTERN": ExitCode.WRONG_CALL,
    "NO_ADDRESS": ExitCode.UNREACHABLE,
}
"""By the reason of a `UserErrorException`; any other: `REFUSED`."""


def exit_code(error: BaseException) -> ExitCode:
    """What the program exits with after `error`."""
    match error:
        case ServiceException():
            return BY_STATUS.get(error.status_code, ExitCode.OTHER)
        case AuthenticationException():
            return ExitCode.REFUSED
        case UserErrorException():
            return BY_REASON.get(error.reason, ExitCode.REFUSED)
        case click.UsageError() | RunConfigurationException():
            return ExitCode.WRONG_CALL
        case click.Abort() | KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case PipeClosed() | BrokenPipeError():
            return ExitCode.PIPE_CLOSED
    return ExitCode.OTHER


def run_to_exit(work: Callable[[], object], settings: Settings) -> int:
    """Does `work`, says what went wrong, and returns what to exit with. `work` may return such a code itself."""
    try:
        result = work()
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.FINE
    except Exception as error:  # noqa: BLE001 - nobody is to see a stack trace who did not ask for it
        if settings.debug:
            traceback.print_exception(error)
        _say(error)
        return exit_code(error)


def _say(error: Exception) -> None:
    match error:
        case PipeClosed() | BrokenPipeError():
            _discard_output()
        case click.ClickException():
            error.show()
        case click.Abort():
            click.echo("Interrupted.", err=True)
        case AzureMLException():
            click.echo(f"Error: {error.message}", err=True)
        case OSError():
            click.echo(f"Error: {error}", err=True)
        case _:
            click.echo(f"Error: {type(error).__name__}: {error} (--debug tells more)", err=True)


def _discard_output() -> None:
    """Lets the interpreter flush stdout at its end without another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
