"""Keeps the numbers by which clients of MLflow know experiments."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from runstream_server.names import ExperimentName
from runstream_server.postgres import Postgres

_COLUMNS = "workspace, experiment, number, name, artifact_location"

_FIND_NUMBER = f"SELECT {_COLUMNS} FROM gateway.experiment WHERE workspace = $1 AND number = $2"

_FIND_NAME = f"SELECT {_COLUMNS} FROM gateway.experiment WHERE workspace = $1 AND name = $2"

_FIND_NUMBERS = f"SELECT {_COLUMNS} FROM gateway.experiment WHERE workspace = $1 AND number = ANY ($2::bigint[])"

_FIND_ALL = f"SELECT {_COLUMNS} FROM gateway.experiment WHERE workspace = $1 AND experiment = ANY ($2::text[])"

_TAKE_NUMBERS = """
INSERT INTO gateway.experiment_count AS known (workspace, last_number) VALUES ($1, $2)
ON CONFLICT (workspace) DO UPDATE SET last_number = known.last_number + excluded.last_number
RETURNING last_number
"""

_ADD = f"""
INSERT INTO gateway.experiment ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}
"""

_ADD_ALL = f"""
INSERT INTO gateway.experiment ({_COLUMNS})
SELECT $1, experiment, $3 + place, NULL, '' FROM unnest($2::text[]) WITH ORDINALITY told (experiment, place)
ON CONFLICT DO NOTHING
"""

_RENAME = "UPDATE gateway.experiment SET name = $3 WHERE workspace = $1 AND experiment = $2"

_FORGET = "DELETE FROM gateway.experiment WHERE workspace = $1 AND experiment = $2"

_PLACE = "UPDATE gateway.experiment SET artifact_location = $3 WHERE workspace = $1 AND experiment = $2"


@dataclass(frozen=True, slots=True)
class NumberedExperiment:
    """How clients of MLflow know an experiment."""

    experiment: ExperimentName
    number: int

    name: str | None
    """Its name, where the run history has to call it otherwise; else None, its display name."""

    artifact_location: str
    """As it was said at creation; empty: none was."""


class NameTaken(Exception):
    """Another experiment of the workspace has the name here."""


class ExperimentStore:
    """Keeps numbers in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def find_number(self, workspace: str, number: int) -> NumberedExperiment | None:
        """Returns the experiment of a number."""
        row = await self._postgres.fetchrow(_FIND_NUMBER, workspace, number)
        return _experiment(row) if row else None

    async def find_numbers(self, workspace: str, numbers: Collection[int]) -> Sequence[NumberedExperiment]:
        """Returns the experiments of those numbers that are known."""
        rows: Sequence[Any] = await self._postgres.fetch(_FIND_NUMBERS, workspace, list(numbers))
        return [_experiment(row) for row in rows]

    async def find_name(self, workspace: str, name: str) -> NumberedExperiment | None:
        """Returns the experiment that has a name here which the run history does not know."""
        row = await self._postgres.fetchrow(_FIND_NAME, workspace, name)
        return _experiment(row) if row else None

    async def find_all(
        self, workspace: str, experiments: Collection[ExperimentName]
    ) -> Mapping[ExperimentName, NumberedExperiment]:
        """Returns those of some experiments that have a number."""
        found: Sequence[Any] = await self._postgres.fetch(
            _FIND_ALL, workspace, [each.experiment for each in experiments]
        )
        return {each.experiment: each for each in map(_experiment, found)}

    async def add(
        self, experiment: ExperimentName, *, number: int | None, name: str | None, artifact_location: str
    ) -> NumberedExperiment:
        """Numbers an experiment, unless it has a number; `number` None, or one that is taken, gives the next one.

        Raises:
            NameTaken: Another experiment has the name.
        """
        while True:
            known = await self.find_all(experiment.workspace, [experiment])
            if experiment in known:
                return known[experiment]
            if name is not None and await self.find_name(experiment.workspace, name):
                raise NameTaken
            async with self._postgres.transaction() as transaction:
                chosen = (
                    await transaction.fetchval(_TAKE_NUMBERS, experiment.workspace, 1) if number is None else number
                )
                row = await transaction.fetchrow(
                    _ADD, experiment.workspace, experiment.experiment, chosen, name, artifact_location
                )
            if row:
                return _experiment(row)
            number = None

    async def add_all(
        self, workspace: str, experiments: Sequence[ExperimentName]
    ) -> Mapping[ExperimentName, NumberedExperiment]:
        """Numbers experiments of a workspace in this order, all at once, but for those that have a number."""
        async with self._postgres.transaction() as transaction:
            last = await transaction.fetchval(_TAKE_NUMBERS, workspace, len(experiments))
            names = [each.experiment for each in experiments]
            await transaction.execute(_ADD_ALL, workspace, names, last - len(experiments))
        return await self.find_all(workspace, experiments)

    async def rename(self, experiment: ExperimentName, name: str | None) -> None:
        """Changes what an experiment is called here; None: as in the run history. Raises NameTaken."""
        try:
            await self._postgres.execute(_RENAME, experiment.workspace, experiment.experiment, name)
        except asyncpg.UniqueViolationError:
            raise NameTaken from None

    async def forget(self, experiment: ExperimentName) -> None:
        """Lets the number and the name of an experiment be given away again."""
        await self._postgres.execute(_FORGET, experiment.workspace, experiment.experiment)

    async def place(self, experiment: ExperimentName, artifact_location: str) -> None:
        """Says where the files of an experiment are said to be."""
        await self._postgres.execute(_PLACE, experiment.workspace, experiment.experiment, artifact_location)


def _experiment(row: Any) -> NumberedExperiment:
    return NumberedExperiment(
        ExperimentName(row["workspace"], row["experiment"]), row["number"], row["name"], row["artifact_location"]
    )
