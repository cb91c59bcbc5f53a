"""Says what to do where an offline run cannot help."""

from typing import Final

from runstream.exceptions import RunEnvironmentException

REMEDY: Final = "Make a run with experiment.start_logging(), or submit the script, to have one that is stored."


def offline_error(what: str) -> RunEnvironmentException:
    """The error for what needs the service."""
    return RunEnvironmentException(f"{what} needs the service, and this run is offline. {REMEDY}")
