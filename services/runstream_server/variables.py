"""Reads environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass

from runstream_server.errors import ConfigurationError


@dataclass(frozen=True)
class Variables:
    """Environment variables; each method raises ConfigurationError, naming the variable, on a wrong value."""

    environment: Mapping[str, str]

    def text(self, *variables: str, default: str | None = None) -> str:
        """The first of some variables that is set, or the default; without one it is required."""
        for variable in variables:
            if value := self.environment.get(variable):
                return value
        if default is None:
            raise ConfigurationError(" or ".join(variables), "not set, and there is no default")
        return default

    def integer(self, variable: str, default: int, least: int, most: int | None = None) -> int:
        """A whole number within limits."""
        text = self.environment.get(variable)
        if not text:
            return default
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise ConfigurationError(variable, f"expected a whole number, {limits}; got {text!r}")
        return int(text)

    def seconds(self, variable: str, default: float) -> float:
        """Seconds, 0 or more."""
        text = self.environment.get(variable)
        try:
            value = float(text) if text else default
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise ConfigurationError(variable, f"expected seconds, 0 or more; got {text!r}")
        return value

    def some_seconds(self, variable: str, default: float) -> float:
        """Seconds, above 0."""
        value = self.seconds(variable, default)
        if not value:
            raise ConfigurationError(variable, f"expected seconds, above 0; got {value!r}")
        return value

    def share(self, variable: str, default: float) -> float:
        """A part of the whole, above 0 and up to 1."""
        value = self.seconds(variable, default)
        if not 0 < value <= 1:
            raise ConfigurationError(variable, f"expected a part of the time, above 0 and up to 1; got {value!r}")
        return value

    def choice(self, variable: str, default: str, choices: tuple[str, ...]) -> str:
        """One of some words."""
        value = self.environment.get(variable) or default
        if value not in choices:
            raise ConfigurationError(variable, f"expected one of {', '.join(choices)}; got {value!r}")
        return value

    def choices(self, variable: str, choices: tuple[str, ...]) -> frozenset[str]:
        """Some of some words, separated by commas."""
        values = {each.strip() for each in (self.environment.get(variable) or "").split(",")} - {""}
        if unknown := values - set(choices):
            raise ConfigurationError(variable, f"expected some of {', '.join(choices)}; got {min(unknown)!r}")
        return frozenset(values)
