"""Keeps which datasets and models runs used, and which models they made."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runstream_server.names import ExperimentName, RunName
from runstream_server.postgres import Connection, Postgres

MOST_PER_RUN = 10_000
"""How many datasets a run may have used; as many models used, and as many made."""

MOST_BYTES_PER_RUN = 64 << 20
"""How long what is said of the datasets of a run may be: a run is always shown with all of it."""

_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

_ADD_DATASETS = """
INSERT INTO gateway.dataset (workspace, experiment, name, digest, source_type, source, schema, profile)
SELECT $1, $2, *
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
       told (name, digest, source_type, source, schema, profile)
 ORDER BY name, digest
ON CONFLICT DO NOTHING
"""

_ADD_DATASET_INPUTS = """
INSERT INTO gateway.dataset_input AS known (workspace, run, dataset, tags)
SELECT $1, $2, dataset, told.tags
  FROM unnest($4::text[], $5::text[], $6::jsonb[]) WITH ORDINALITY told (name, digest, tags, place)
  JOIN gateway.dataset of_run
    ON of_run.workspace = $1 AND of_run.experiment = $3 AND of_run.name = told.name AND of_run.digest = told.digest
 ORDER BY told.place
ON CONFLICT (workspace, run, dataset) DO UPDATE SET tags = known.tags || excluded.tags
"""

_ADD_MODEL_INPUTS = """
INSERT INTO gateway.model_input (workspace, run, model)
SELECT $1, $2, model FROM unnest($3::text[]) WITH ORDINALITY told (model, place) ORDER BY place
ON CONFLICT DO NOTHING
"""

_ADD_MODEL_OUTPUTS = """
INSERT INTO gateway.model_output (workspace, run, model, step)
SELECT $1, $2, model, step FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY told (model, step, place)
 ORDER BY place
ON CONFLICT (workspace, run, model) DO UPDATE SET step = excluded.step
"""

_MOST_OF_A_KIND = """
SELECT greatest(
    (SELECT count(*) FROM gateway.dataset_input WHERE workspace = $1 AND run = $2),
    (SELECT count(*) FROM gateway.model_input WHERE workspace = $1 AND run = $2),
    (SELECT count(*) FROM gateway.model_output WHERE workspace = $1 AND run = $2)
)
"""

_LENGTH_OF_DATASETS = """
SELECT coalesce(sum(octet_length(source) + coalesce(octet_length(schema), 0) + coalesce(octet_length(profile), 0)
                    + octet_length(tags::text)), 0)::bigint
  FROM gateway.dataset_input
  JOIN gateway.dataset USING (dataset)
 WHERE dataset_input.workspace = $1 AND run = $2
"""

# What is long of a dataset comes once, however many of the runs used it.
_OF_RUNS = """
SELECT run, 1 AS kind, position, used.dataset, tags, NULL::text AS model, NULL::bigint AS step, known.name,
       known.digest, known.source_type, long.source, long.schema, long.profile
  FROM (
      SELECT run, position, dataset, tags, row_number() OVER (PARTITION BY dataset ORDER BY run) = 1 AS is_first
        FROM gateway.dataset_input
       WHERE workspace = $1 AND run = ANY ($2::text[])
  ) used
  JOIN gateway.dataset known ON known.dataset = used.dataset
  LEFT JOIN gateway.dataset long ON long.dataset = known.dataset AND is_first
 UNION ALL
SELECT run, 2, position, NULL, NULL, model, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM gateway.model_input
 WHERE workspace = $1 AND run = ANY ($2::text[])
 UNION ALL
SELECT run, 3, position, NULL, NULL, model, step, NULL, NULL, NULL, NULL, NULL, NULL
  FROM gateway.model_output
 WHERE workspace = $1 AND run = ANY ($2::text[])
 ORDER BY run, kind, position
"""

_DATASETS_OF_RUNS = """
SELECT run, name, digest, coalesce(tags ->> 'mlflow.data.context', '') AS context
  FROM gateway.dataset_input
  JOIN gateway.dataset USING (dataset)
 WHERE dataset_input.workspace = $1 AND run = ANY ($2::text[])
 ORDER BY run, position
"""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset of an experiment, known by its name and digest."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A dataset that a run used, with tags that say how."""

    dataset: Dataset
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """A model that a run made, and at which step of the run."""

    model: str
    step: int


@dataclass(frozen=True, slots=True)
class UsedDataset:
    """What is searched of a dataset that a run used."""

    name: str
    digest: str

    context: str
    """What it was used for: the tag `mlflow.data.context`; empty if it was not said."""


@dataclass(frozen=True, slots=True)
class InputsAndOutputs:
    """What a run used and made, each in the order in which it was told first."""

    datasets: list[DatasetInput] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    outputs: list[ModelOutput] = field(default_factory=list)


class TooManyInputs(Exception):
    """The run would have more than `MOST_PER_RUN` of a kind."""


class InputsTooLong(Exception):
    """What is said of the datasets of the run would have more than `MOST_BYTES_PER_RUN`."""


class InputStore:
    """Keeps inputs and outputs in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add_inputs(
        self, run: RunName, experiment: ExperimentName, datasets: Sequence[DatasetInput], models: Sequence[str]
    ) -> None:
        """Notes what a run used; nothing twice. A dataset that is known stays as it is, its tags are set besides.

        Of a dataset or a model that comes twice the last one counts. Raises TooManyInputs and InputsTooLong, and then
        notes nothing.
        """
        last = {(each.dataset.name, each.dataset.digest): each for each in datasets}
        async with self._postgres.transaction() as transaction:
            await _take_turns(transaction, run)
            if last:
                await _add_datasets(transaction, run, experiment, list(last.values()))
                await _check_length(transaction, run)
            await transaction.execute(_ADD_MODEL_INPUTS, run.workspace, run.run, list(dict.fromkeys(models)))
            await _check_count(transaction, run)

    async def add_outputs(self, run: RunName, outputs: Sequence[ModelOutput]) -> None:
        """Notes what a run made; of a model that is known, the step. Raises TooManyInputs, and then notes nothing."""
        last = {each.model: each.step for each in outputs}
        async with self._postgres.transaction() as transaction:
            await _take_turns(transaction, run)
            await transaction.execute(_ADD_MODEL_OUTPUTS, run.workspace, run.run, list(last), list(last.values()))
            await _check_count(transaction, run)

    async def of_runs(self, workspace: str, runs: Collection[str]) -> Mapping[str, InputsAndOutputs]:
        """Returns what runs of a workspace used and made, by their ids; a run without any is absent.

        Runs that used the same dataset share one object.
        """
        found: dict[str, InputsAndOutputs] = defaultdict(InputsAndOutputs)
        datasets: dict[int, Dataset] = {}
        for row in await self._postgres.fetch(_OF_RUNS, workspace, list(runs)) if runs else ():
            match row["kind"]:
                case 1:
                    dataset = _shared(datasets, row)
                    found[row["run"]].datasets.append(DatasetInput(dataset, row["tags"]))
                case 2:
                    found[row["run"]].models.append(row["model"])
                case _:
                    found[row["run"]].outputs.append(ModelOutput(row["model"], row["step"]))
        return dict(found)

    async def datasets_of_runs(self, workspace: str, runs: Collection[str]) -> Mapping[str, Sequence[UsedDataset]]:
        """Returns what is searched of the datasets that runs of a workspace used; a run without any is absent."""
        found: dict[str, list[UsedDataset]] = defaultdict(list)
        for row in await self._postgres.fetch(_DATASETS_OF_RUNS, workspace, list(runs)) if runs else ():
            found[row["run"]].append(UsedDataset(row["name"], row["digest"], row["context"]))
        return dict(found)


async def _take_turns(transaction: Connection, run: RunName) -> None:
    await transaction.execute(_TAKE_TURNS, f"runstream.gateway.inputs/{run}")


async def _add_datasets(
    transaction: Connection, run: RunName, experiment: ExperimentName, inputs: Sequence[DatasetInput]
) -> None:
    datasets = [each.dataset for each in inputs]
    await transaction.execute(
        _ADD_DATASETS,
        experiment.workspace,
        experiment.experiment,
        [each.name for each in datasets],
        [each.digest for each in datasets],
        [each.source_type for each in datasets],
        [each.source for each in datasets],
        [each.schema for each in datasets],
        [each.profile for each in datasets],
    )
    await transaction.execute(
        _ADD_DATASET_INPUTS,
        run.workspace,
        run.run,
        experiment.experiment,
        [each.name for each in datasets],
        [each.digest for each in datasets],
        [dict(each.tags) for each in inputs],
    )


async def _check_count(transaction: Connection, run: RunName) -> None:
    if await transaction.fetchval(_MOST_OF_A_KIND, run.workspace, run.run) > MOST_PER_RUN:
        raise TooManyInputs


async def _check_length(transaction: Connection, run: RunName) -> None:
    if await transaction.fetchval(_LENGTH_OF_DATASETS, run.workspace, run.run) > MOST_BYTES_PER_RUN:
        raise InputsTooLong


def _shared(datasets: dict[int, Dataset], row: Any) -> Dataset:
    if row["dataset"] not in datasets:
        datasets[row["dataset"]] = Dataset(
            row["name"], row["digest"], row["source_type"], row["source"], row["schema"], row["profile"]
        )
    return datasets[row["dataset"]]
