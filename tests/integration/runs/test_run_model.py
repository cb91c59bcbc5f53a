"""Random calls of several clients at once, on two servers, against a model.

The model is exact: what the clients saw must be what the calls give in some order that keeps the order of each client.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.run_pb2 import Run
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream_server.runs.convert.encoding import STATUSES, encode_status
from runstream_server.runs.status import FOLLOWERS, RunStatus
from tests import stubs

S = RunStatus
Seen = object
"""What a client saw of a call: the reason of an error, or what came back."""


@dataclass(frozen=True)
class Model:
    """What is known of one run."""

    status: RunStatus = S.NOT_STARTED
    tags: Mapping[str, str | None] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    def seen(self) -> Seen:
        return (self.status, dict(self.tags), dict(self.properties))


@dataclass(frozen=True)
class Enter:
    """StartRun, CompleteRun, FailRun, CancelRun, or UpdateRun with a status."""

    status: RunStatus
    by_update: bool

    def apply(self, model: Model) -> tuple[Model, Seen]:
        if model.status.is_terminal or model.status is self.status:
            return model, model.seen()
        if self.status not in FOLLOWERS[model.status]:
            return model, "INVALID_STATUS_CHANGE"
        model = replace(model, status=self.status)
        return model, model.seen()

    async def call(self, runs: Any, name: str) -> Seen:
        if self.by_update:
            run = Run(name=name, status=encode_status(self.status))
            request = messages.UpdateRunRequest(run=run, update_mask=FieldMask(paths=["status"]))
            return seen((await runs.UpdateRun(request)).run)
        match self.status:
            case S.RUNNING:
                return seen((await runs.StartRun(messages.StartRunRequest(name=name))).run)
            case S.COMPLETED:
                return seen((await runs.CompleteRun(messages.CompleteRunRequest(name=name))).run)
            case S.FAILED:
                return seen((await runs.FailRun(messages.FailRunRequest(name=name))).run)
        return seen((await runs.CancelRun(messages.CancelRunRequest(name=name))).run)


@dataclass(frozen=True)
class ModifyTags:
    """ModifyTags."""

    tags: Mapping[str, str | None]
    removed: frozenset[str]

    def apply(self, model: Model) -> tuple[Model, Seen]:
        removed = self.removed - self.tags.keys()
        kept = {key: value for key, value in model.tags.items() if key not in removed}
        model = replace(model, tags={**kept, **self.tags})
        return model, dict(model.tags)

    async def call(self, runs: Any, name: str) -> Seen:
        request = messages.ModifyTagsRequest(
            name=name,
            set=[Tag(key=key, value=value) for key, value in self.tags.items()],
            remove=sorted(self.removed - self.tags.keys()),
        )
        return tags_of((await runs.ModifyTags(request)).tags)


@dataclass(frozen=True)
class AddProperties:
    """AddProperties."""

    properties: Mapping[str, str]

    def apply(self, model: Model) -> tuple[Model, Seen]:
        if any(model.properties.get(key, value) != value for key, value in self.properties.items()):
            return model, "PROPERTY_CONFLICT"
        model = replace(model, properties={**model.properties, **self.properties})
        return model, dict(model.properties)

    async def call(self, runs: Any, name: str) -> Seen:
        request = messages.AddPropertiesRequest(name=name, properties=self.properties)
        return dict((await runs.AddProperties(request)).properties)


@dataclass(frozen=True)
class Get:
    """GetRun."""

    def apply(self, model: Model) -> tuple[Model, Seen]:
        return model, model.seen()

    async def call(self, runs: Any, name: str) -> Seen:
        return seen((await runs.GetRun(messages.GetRunRequest(name=name))).run)


Call = Enter | ModifyTags | AddProperties | Get


def tags_of(tags: Sequence[Tag]) -> dict[str, str | None]:
    return {tag.key: tag.value if tag.HasField("value") else None for tag in tags}


def seen(run: Run) -> Seen:
    return (STATUSES[run.status], tags_of(run.tags), dict(run.properties))


async def made(runs: Any, name: str, call: Call) -> Seen:
    try:
        return await call.call(runs, name)
    except grpc.aio.AioRpcError as error:
        info = error_details_pb2.ErrorInfo()
        status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
        status.details[0].Unpack(info)
        return info.reason


def explained(model: Model, clients: Sequence[Sequence[tuple[Call, Seen]]], last: Seen) -> bool:
    """Whether some order of all calls, that of each client kept, gives what was seen, and `last` in the end."""
    if not any(clients):
        return model.seen() == last
    for index, calls in enumerate(clients):
        if calls:
            (call, saw), *rest = calls
            after, would_see = call.apply(model)
            if would_see == saw and explained(after, [*clients[:index], rest, *clients[index + 1 :]], last):
                return True
    return False


KEYS = st.sampled_from("ab")
VALUES = st.sampled_from("xy")
ENDS = st.sampled_from([S.RUNNING, S.COMPLETED, S.FAILED, S.CANCELED])
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(Enter, ENDS, st.just(False)),
    st.builds(Enter, st.sampled_from(list(S)), st.just(True)),
    st.builds(ModifyTags, st.dictionaries(KEYS, st.one_of(st.none(), VALUES)), st.frozensets(KEYS)),
    st.builds(AddProperties, st.dictionaries(KEYS, VALUES, max_size=2)),
    st.just(Get()),
)


async def run_of(runs: Any) -> str:
    """A new run."""
    workspace = messages.CreateWorkspaceRequest(workspace_id="team", return_existing=True)
    await runs.CreateWorkspace(workspace)
    experiment = messages.CreateExperimentRequest(parent="workspaces/team", return_existing=True)
    experiment.experiment.display_name = "digits"
    name = (await runs.CreateExperiment(experiment)).experiment.name
    request = messages.CreateRunRequest(
        parent="workspaces/team", run=Run(experiment=name), request_id=str(uuid.uuid4())
    )
    return str((await runs.CreateRun(request)).run.name)


@settings(max_examples=60)
@given(st.lists(CALLS, max_size=25))
async def test_one_call_after_the_other_on_either_server_does_what_the_model_does(
    backend: Any, replica: Any, calls: Sequence[Call]
) -> None:
    servers = [stubs.run_history(backend.channel), stubs.run_history(replica.channel)]
    name = await run_of(servers[0])
    model = Model()
    for turn, call in enumerate(calls):
        model, would_see = call.apply(model)
        assert await made(servers[turn % 2], name, call) == would_see


@settings(max_examples=60)
@given(st.lists(st.lists(CALLS, min_size=1, max_size=4), min_size=2, max_size=3))
async def test_calls_of_several_clients_at_once_do_what_the_model_does_in_some_order(
    backend: Any, replica: Any, clients: Sequence[Sequence[Call]]
) -> None:
    servers = [stubs.run_history(backend.channel), stubs.run_history(replica.channel)]
    name = await run_of(servers[0])

    async def run(runs: Any, calls: Sequence[Call]) -> list[tuple[Call, Seen]]:
        return [(call, await made(runs, name, call)) for call in calls]

    told = await asyncio.gather(*(run(servers[index % 2], calls) for index, calls in enumerate(clients)))

    assert explained(Model(), told, await made(servers[0], name, Get()))
