"""How hyperparameters are chosen."""

import math
from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive.parameter_expressions import Expression

__all__ = ["BayesianParameterSampling", "GridParameterSampling", "HyperParameterSampling", "RandomParameterSampling"]


class HyperParameterSampling(ABC):
    """Chooses hyperparameters from a space of them.

    `parameter_space` says for each name what values there are. Each value reaches the script as two arguments,
    `--name value`; dashes at the beginning of a name are not doubled.

    Raises:
        UserErrorException: The space is empty, or has something that is no expression.
    """

    method: ClassVar[str]
    """Its name in documents."""

    def __init__(self, parameter_space: Mapping[str, Expression], properties: Mapping[str, Any] | None = None) -> None:
        if not parameter_space:
            raise UserErrorException("The space of hyperparameters is empty; name at least one.")
        for name, expression in parameter_space.items():
            if not isinstance(expression, Expression):
                raise UserErrorException(
                    f"The hyperparameter {name!r} needs choice(), uniform() or another expression, not {expression!r}."
                )
        self.parameter_space = dict(parameter_space)
        self.properties = dict(properties or {})

    @property
    def combination_count(self) -> int | None:
        """How many combinations of values are tried at most; None: there is no such number."""
        return None


class RandomParameterSampling(HyperParameterSampling):
    """Draws each combination by chance, regardless of what came before."""

    method = "random"


class GridParameterSampling(HyperParameterSampling):
    """Tries every combination once; takes `choice()` only."""

    method = "grid"

    def __init__(self, parameter_space: Mapping[str, Expression]) -> None:
        super().__init__(parameter_space)
        for name, expression in self.parameter_space.items():
            if expression.kind != "choice":
                raise UserErrorException(
                    f"A grid needs choice() for each hyperparameter; {name!r} has {expression.kind}()."
                )

    @property
    def combination_count(self) -> int:
        """The product of how many values there are of each."""
        return math.prod(len(expression.arguments) for expression in self.parameter_space.values())


class BayesianParameterSampling(HyperParameterSampling):
    """Chooses where what came before promises most, by a tree-structured Parzen estimator.

    The first ten combinations are drawn by chance. It learns most if few runs run at the same time.
    """

    method = "bayesian"

    def __init__(self, parameter_space: Mapping[str, Expression]) -> None:
        super().__init__(parameter_space)
