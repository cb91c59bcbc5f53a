"""Which combination of hyperparameters is tried next."""

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive.parameter_expressions import ParameterSpace
from runstream.train.hyperdrive.sampling import (
    BayesianParameterSampling,
    GridParameterSampling,
    HyperParameterSampling,
    RandomParameterSampling,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

Numbers = Mapping[str, float]
"""By hyperparameter the number that its value is made of."""


@dataclass(frozen=True)
class Trial:
    """A combination that was tried."""

    numbers: Numbers

    result: float | None
    """The best value of the primary metric, turned so that more is better; None: not known, or not yet."""

    has_ended: bool


class Proposals(Protocol):
    """Chooses combinations."""

    def propose(self, index: int, trials: Iterable[Trial]) -> Numbers | None:
        """The combination with this index, from 0; None: there is none.

        It is the same each time it is asked for after the same trials.
        """


def proposals_of(sampling: HyperParameterSampling, seed: int) -> Proposals:
    """What chooses combinations as `sampling` says; not the same ones for another `seed`."""
    if isinstance(sampling, GridParameterSampling):
        return GridProposals(sampling.parameter_space)
    if isinstance(sampling, BayesianParameterSampling):
        return OptunaProposals(sampling.parameter_space, seed, learns=True)
    if isinstance(sampling, RandomParameterSampling):
        return OptunaProposals(sampling.parameter_space, seed, learns=False)
    raise UserErrorException(f"There is no sampling of hyperparameters like {type(sampling).__name__}.")


def values_of(space: ParameterSpace, numbers: Numbers) -> dict[str, Any]:
    """The values of hyperparameters."""
    return {name: expression.value_of(numbers[name]) for name, expression in space.items()}


class GridProposals:
    """Every combination once; the last hyperparameter changes first."""

    def __init__(self, space: ParameterSpace) -> None:
        self._names = list(space)
        self._options = [range(len(expression.arguments)) for expression in space.values()]

    def propose(self, index: int, trials: Iterable[Trial]) -> Numbers | None:
        """See `Proposals`."""
        combination = next(itertools.islice(itertools.product(*self._options), index, None), None)
        return None if combination is None else dict(zip(self._names, combination, strict=True))


class OptunaProposals:
    """What a sampler of Optuna chooses."""

    def __init__(self, space: ParameterSpace, seed: int, *, learns: bool) -> None:
        self._space = space
        self._seed = seed
        self._learns = learns

    def propose(self, index: int, trials: Iterable[Trial]) -> Numbers | None:
        """See `Proposals`."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # else each combination adds a line to the log of the run
        distributions = _distributions(self._space)
        study = optuna.create_study(direction="maximize", sampler=self._sampler(index))
        if self._learns:
            study.add_trials(_past(trials, distributions))
        return study.ask(distributions).params

    def _sampler(self, index: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler, TPESampler

        seed = random.Random(f"{self._seed}/{index}").getrandbits(32)
        return TPESampler(seed=seed, constant_liar=True) if self._learns else RandomSampler(seed=seed)


def require_optuna() -> None:
    """Raises UserErrorException if Optuna is not installed."""
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise UserErrorException(
            "Random and Bayesian sampling need Optuna, which is not installed: pip install 'runstream[sweeps]'."
        )


def _distributions(space: ParameterSpace) -> dict[str, "BaseDistribution"]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, expression in space.items():
        low, high = expression.bounds
        if expression.kind == "choice":
            found[name] = CategoricalDistribution(range(int(high) + 1))
        elif expression.is_discrete:
            found[name] = IntDistribution(int(low), int(high))
        else:
            found[name] = FloatDistribution(low, high)
    return found


def _past(trials: Iterable[Trial], distributions: dict[str, "BaseDistribution"]) -> Sequence[Any]:
    """Trials as Optuna knows them; those that ended without a result are left out."""
    from optuna.trial import TrialState, create_trial

    past = []
    for trial in trials:
        if trial.has_ended and trial.result is None:
            continue
        state = TrialState.COMPLETE if trial.has_ended else TrialState.RUNNING
        value = trial.result if trial.has_ended else None
        past.append(create_trial(state=state, value=value, params=dict(trial.numbers), distributions=distributions))
    return past
