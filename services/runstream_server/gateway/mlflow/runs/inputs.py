"""What runs used and made: datasets and models."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from runstream.api.runs.v1 import run_pb2
from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.errors import missing_parameter, wrong
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.runs.documents import Document
from runstream_server.gateway.mlflow.runs.finding import asked_run_id, get_active_run
from runstream_server.gateway.store.inputs import (
    MOST_BYTES_PER_RUN,
    MOST_PER_RUN,
    Dataset,
    DatasetInput,
    InputsAndOutputs,
    InputsTooLong,
    InputStore,
    ModelOutput,
    TooManyInputs,
)
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import ExperimentName, RunName

MOST_NAME = 500
MOST_DIGEST = 36
MOST_SOURCE_TYPE = 36
MOST_SOURCE = 65_535
MOST_SCHEMA = 1_048_575
MOST_PROFILE = 16_777_215
MOST_TAG_KEY = 255
MOST_TAG_VALUE = 500
MOST_MODEL_ID = 255
"""How many characters each may have."""

MOST_AT_ONCE = 1_000
"""How many datasets, or models, or tags of a dataset, one request may have."""


class InputEndpoints:
    """`runs/log-inputs` and `runs/outputs`."""

    def __init__(self, store: InputStore) -> None:
        self._store = store

    def endpoints(self) -> Sequence[Endpoint]:
        """Both; the run decides whom they let in."""
        return [
            Endpoint("POST", "runs/log-inputs", self._log_inputs, Role.WRITER),
            Endpoint("POST", "runs/outputs", self._log_outputs, Role.WRITER),
        ]

    async def _log_inputs(self, visitor: Visitor, fields: Fields) -> Answer:
        run_id = asked_run_id(fields)
        datasets = [_dataset_input(each) for each in bounded(fields, "datasets")]
        models = [each.text("model_id", most=MOST_MODEL_ID) for each in bounded(fields, "models")]
        run = await get_active_run(visitor, run_id)
        with _counted(run_id):
            await self._store.add_inputs(_name(run), ExperimentName.parse(run.experiment), datasets, models)
        return {}

    async def _log_outputs(self, visitor: Visitor, fields: Fields) -> Answer:
        run_id = asked_run_id(fields)
        models = [_model_output(each) for each in bounded(fields, "models")]
        if not models:
            raise missing_parameter("models")
        run = await get_active_run(visitor, run_id)
        with _counted(run_id):
            await self._store.add_outputs(_name(run), models)
        return {}


def inputs_document(found: InputsAndOutputs) -> Document:
    """`inputs` of a run, in JSON. Empty lists are left out."""
    return _without_empty(
        dataset_inputs=[_dataset_input_document(each) for each in found.datasets],
        model_inputs=[{"model_id": model} for model in found.models],
    )


def outputs_document(found: InputsAndOutputs) -> Document:
    """`outputs` of a run, in JSON. An empty list is left out."""
    return _without_empty(model_outputs=[{"model_id": each.model, "step": each.step} for each in found.outputs])


def _without_empty(**lists: Sequence[Document]) -> Document:
    return {name: found for name, found in lists.items() if found}


def _dataset_input_document(found: DatasetInput) -> Document:
    return {
        "tags": [{"key": key, "value": value} for key, value in found.tags.items()],
        "dataset": _dataset_document(found.dataset),
    }


def _dataset_document(dataset: Dataset) -> Document:
    told = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
        "schema": dataset.schema,
        "profile": dataset.profile,
    }
    return {name: value for name, value in told.items() if value is not None}


def bounded(fields: Fields, name: str) -> Sequence[Fields]:
    """A list of up to `MOST_AT_ONCE` objects."""
    found = fields.objects(name)
    if len(found) > MOST_AT_ONCE:
        raise wrong(f"'{name}' has {len(found)} items; up to {MOST_AT_ONCE} are taken in one request")
    return found


def _dataset_input(fields: Fields) -> DatasetInput:
    dataset = fields.object("dataset")
    tags = bounded(fields, "tags")
    return DatasetInput(
        Dataset(
            name=dataset.text("name", most=MOST_NAME),
            digest=dataset.text("digest", most=MOST_DIGEST),
            source_type=dataset.text("source_type", most=MOST_SOURCE_TYPE),
            source=dataset.text("source", most=MOST_SOURCE),
            schema=dataset.text_or("schema", "", most=MOST_SCHEMA) if dataset.has("schema") else None,
            profile=dataset.text_or("profile", "", most=MOST_PROFILE) if dataset.has("profile") else None,
        ),
        {each.text("key", most=MOST_TAG_KEY): each.text_or("value", "", most=MOST_TAG_VALUE) for each in tags},
    )


def _model_output(fields: Fields) -> ModelOutput:
    return ModelOutput(fields.text("model_id", most=MOST_MODEL_ID), fields.integer_or("step", 0) or 0)


def _name(run: run_pb2.Run) -> RunName:
    return RunName.parse(run.name)


@contextmanager
def _counted(run_id: str) -> Iterator[None]:
    try:
        yield
    except TooManyInputs:
        raise wrong(
            f"Run {run_id} would have more than {MOST_PER_RUN} datasets or models as inputs or outputs"
        ) from None
    except InputsTooLong:
        raise wrong(f"Run {run_id} would have datasets of more than {MOST_BYTES_PER_RUN} bytes together") from None
