"""What values a hyperparameter may take, and how likely each is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

from runstream.exceptions import UserErrorException

__all__ = [
    "Expression",
    "choice",
    "lognormal",
    "loguniform",
    "normal",
    "qlognormal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "uniform",
]

_STANDARD = NormalDist()
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Expression:
    """What values a hyperparameter may take; made by the functions of this module."""

    kind: str
    """The name of the function."""

    arguments: tuple[Any, ...]
    """What it was given."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the number that a value is made of, by `value_of`; both are possible.

        For `choice` and `randint` it is an integer. Normal distributions are made of their quantile.
        """
        if self.kind == "choice":
            return 0, len(self.arguments) - 1
        if self.kind == "randint":
            return 0, self.arguments[0] - 1
        return (0.0, 1.0) if "normal" in self.kind else self.arguments[:2]

    @property
    def is_discrete(self) -> bool:
        """Whether the number that a value is made of is an integer."""
        return self.kind in ("choice", "randint")

    def value_of(self, number: float) -> Any:
        """The value that a number between the bounds stands for."""
        if self.kind == "choice":
            return self.arguments[int(number)]
        if self.kind == "randint":
            return int(number)
        value = number
        if "normal" in self.kind:
            center, deviation = self.arguments[:2]
            value = center + deviation * _STANDARD.inv_cdf(min(max(number, _SMALLEST), 1 - _SMALLEST))
        if "log" in self.kind:
            value = math.exp(value)
        if self.kind.startswith("q"):
            quantum = self.arguments[2]
            value = round(value / quantum) * quantum
        return value

    def to_document(self) -> list[Any]:
        """As JSON keeps it."""
        return [self.kind, list(self.arguments)]

    @classmethod
    def of_document(cls, document: list[Any]) -> "Expression":
        """What `to_document` made."""
        kind, arguments = document
        return cls(kind, tuple(arguments))


_SMALLEST: Final = 1e-12
"""The quantile beyond which normal distributions are cut off."""

ParameterSpace = Mapping[str, Expression]


def choice(*options: Any) -> Expression:
    """One of some values, each as likely; or of those in one list, range or other iterable.

    choice(16, 32, 64), choice([16, 32, 64]), choice(range(1, 5))

    Raises:
        UserErrorException: There is none, or one is neither a text, a number, a bool nor None.
    """
    if len(options) == 1 and not isinstance(options[0], _PLAIN):
        options = tuple(options[0])
    if not options:
        raise UserErrorException("choice() needs at least one value.")
    for option in options:
        if not isinstance(option, _PLAIN):
            raise UserErrorException(f"choice() takes texts, numbers, bools and None, not {type(option).__name__}.")
    return Expression("choice", options)


def randint(upper: int) -> Expression:
    """An integer from 0 up to and without `upper`, each as likely.

    Raises:
        UserErrorException: `upper` is no integer above 0.
    """
    if isinstance(upper, bool) or not isinstance(upper, int) or upper < 1:
        raise UserErrorException(f"randint() takes an integer above 0, not {upper!r}.")
    return Expression("randint", (upper,))


def uniform(min_value: float, max_value: float) -> Expression:
    """A number between two, both included, each as likely. Raises UserErrorException unless min_value < max_value."""
    return Expression("uniform", _range("uniform", min_value, max_value))


def quniform(min_value: float, max_value: float, q: float) -> Expression:
    """`round(uniform(min_value, max_value) / q) * q`."""
    return Expression("quniform", (*_range("quniform", min_value, max_value), _above_zero("quniform", "q", q)))


def loguniform(min_value: float, max_value: float) -> Expression:
    """`exp(uniform(min_value, max_value))`: the logarithm of the value is uniform."""
    return Expression("loguniform", _range("loguniform", min_value, max_value))


def qloguniform(min_value: float, max_value: float, q: float) -> Expression:
    """`round(exp(uniform(min_value, max_value)) / q) * q`."""
    return Expression("qloguniform", (*_range("qloguniform", min_value, max_value), _above_zero("qloguniform", "q", q)))


def normal(mu: float, sigma: float) -> Expression:
    """A normally distributed number with mean `mu` and standard deviation `sigma`, which is above 0."""
    return Expression("normal", _shape("normal", mu, sigma))


def qnormal(mu: float, sigma: float, q: float) -> Expression:
    """`round(normal(mu, sigma) / q) * q`."""
    return Expression("qnormal", (*_shape("qnormal", mu, sigma), _above_zero("qnormal", "q", q)))


def lognormal(mu: float, sigma: float) -> Expression:
    """`exp(normal(mu, sigma))`."""
    return Expression("lognormal", _shape("lognormal", mu, sigma))


def qlognormal(mu: float, sigma: float, q: float) -> Expression:
    """`round(exp(normal(mu, sigma)) / q) * q`."""
    return Expression("qlognormal", (*_shape("qlognormal", mu, sigma), _above_zero("qlognormal", "q", q)))


def _range(function: str, low: float, high: float) -> tuple[float, float]:
    low, high = _number(function, "min_value", low), _number(function, "max_value", high)
    if low >= high:
        raise UserErrorException(f"{function}() needs a min_value below its max_value; got {low} and {high}.")
    return low, high


def _shape(function: str, center: float, deviation: float) -> tuple[float, float]:
    return _number(function, "mu", center), _above_zero(function, "sigma", deviation)


def _above_zero(function: str, name: str, value: float) -> float:
    if _number(function, name, value) <= 0:
        raise UserErrorException(f"{function}() needs {name} above 0, not {value!r}.")
    return value


def _number(function: str, name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UserErrorException(f"{function}() needs a finite number as {name}, not {value!r}.")
    return value
