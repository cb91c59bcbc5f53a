"""How much is done: little in `make check`, more by `python -m tests.chaos`, which sets these variables."""

import os
import secrets
from dataclasses import dataclass
from typing import Final

PERMANENT_SEEDS: Final = (1,)
"""Always run, in the short form too: add what has failed once."""

SEEDS_VARIABLE: Final = "CHAOS_SEEDS"
FIRST_SEED_VARIABLE: Final = "CHAOS_FIRST_SEED"
FAULTS_VARIABLE: Final = "CHAOS_FAULTS"
FACTOR_VARIABLE: Final = "CHAOS_FACTOR"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much a test does."""

    seeds: tuple[int, ...] = PERMANENT_SEEDS
    """What the schedules and the data of a test are made from."""

    faults: int = 8
    """How many faults there are for each seed."""

    factor: int = 1
    """How many times as many writers, rounds and values as in the short form."""

    @property
    def seconds(self) -> float:
        """How long a test may take before it is taken for hanging."""
        return 60.0 + 20.0 * self.faults * self.factor

    @classmethod
    def from_environment(cls) -> "Scale":
        """The short form, unless the variables of this module say something else."""
        if SEEDS_VARIABLE not in os.environ:
            return cls()
        first = int(os.environ.get(FIRST_SEED_VARIABLE) or secrets.randbelow(2**32))
        os.environ[FIRST_SEED_VARIABLE] = str(first)
        return cls(
            seeds=tuple(range(first, first + int(os.environ[SEEDS_VARIABLE]))),
            faults=int(os.environ[FAULTS_VARIABLE]),
            factor=int(os.environ[FACTOR_VARIABLE]),
        )


SCALE: Final = Scale.from_environment()
