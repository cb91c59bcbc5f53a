"""What the run history is asked leaves out no run that a search would find."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.runs.subjects import RUN_SCHEMA
from runstream_server.gateway.mlflow.search import Scalar, admits, parse_filter
from tests import stubs
from tests.conftest import Backend
from tests.gateways import Gateway
from tests.searched_runs import START, make_experiment, make_runs, new_run, values_of

TEXTS = ["", "x", "null", "*", "a*", '"', "\\", "\\*", "a\nb", "ü 🙂", "workspaces/space/runs/r1", "r1", "%", "it's"]
KEYS = ["k", "null", "*", "a.b", "\\", "\\n", "ü", "mlflow.user", "mlflow.note.content", "mlflow.parentRunId", "a b"]
STATUSES = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", "running", "Completed", ""]
SIGNS = ["=", "!=", "<", "<=", ">", ">="]
NUMBERS = [-1, 0, 10**12, 253_402_300_798_999, 253_402_300_799_000, 10**20, 1.5, *range(START - 1, START + 5)]


class Document:
    """A run as it is told, to be searched."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._info = document["info"]
        self._data = {name: values_of(pairs) for name, pairs in document["data"].items()}

    @property
    def id(self) -> str:
        """Its id."""
        return str(self._info["run_id"])

    def values(self, entity: str, key: str) -> Sequence[Scalar]:
        """What it has under a key."""
        found = (self._info if entity == "attributes" else self._data[entity]).get(key)
        return () if found is None else (found,)

    def equalities(self) -> Iterator[str]:
        """Clauses that admit it."""
        for entity in ("tags", "params"):
            yield from (f"{entity}.`{key}` = {_quoted(value)}" for key, value in self._data[entity].items())
        for key in ("run_id", "run_name", "status", "user_id"):
            yield f"{key} = {_quoted(self._info[key])}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_TEXTS = st.sampled_from(TEXTS).map(_quoted)
_COMPARED = st.sampled_from(["=", "=", "!=", "LIKE", "ILIKE"])
_TIMES = st.builds(
    "{} {} {}".format,
    st.sampled_from(["start_time", "end_time"]),
    st.sampled_from(SIGNS),
    st.sampled_from(NUMBERS),
)
_CLAUSES = st.one_of(
    st.builds("{}.`{}` {} {}".format, st.sampled_from(["tags", "params"]), st.sampled_from(KEYS), _COMPARED, _TEXTS),
    st.builds("tags.mlflow.runName {} {}".format, _COMPARED, _TEXTS),
    st.builds("{} {} {}".format, st.sampled_from(["run_id", "run_name", "user_id"]), _COMPARED, _TEXTS),
    st.builds("status {} {}".format, _COMPARED, st.sampled_from(STATUSES).map(_quoted)),
    st.builds("run_id IN ({})".format, st.lists(_TEXTS, min_size=1, max_size=3).map(",".join)),
    _TIMES,
)


@pytest.fixture
async def searched(backend: Backend, gateway: Gateway) -> tuple[str, Sequence[Document]]:
    """An experiment by its id, and its runs: some of each kind, of each status, with each text."""
    experiment = await make_experiment(backend.channel, gateway)
    runs = [
        new_run(
            f"r{place}",
            None if place % 7 == 0 else place % 4,
            display_name=text or "made",
            description=text,
            creator=text,
            tags={KEYS[place % len(KEYS)]: text, KEYS[(5 * place + 1) % len(KEYS)]: "x"},
            params={KEYS[place % len(KEYS)]: text, KEYS[(place + 3) % len(KEYS)]: "x"},
            properties={"mlflow.user": text},
        )
        for place, text in enumerate([*TEXTS, *TEXTS], 1)
    ]
    runs[3].run.tags.add(key="mark")
    await make_runs(backend.channel, experiment, runs)
    await make_runs(backend.channel, experiment, [new_run("child", None, parent="workspaces/space/runs/r1")])
    await _end(backend)
    answer = await gateway.post("runs/search", experiment_ids=[experiment.id])
    return experiment.id, [Document(each) for each in answer.found()["runs"]]


async def _end(backend: Backend) -> None:
    """Ends some runs, and gives each other status to one."""
    history = stubs.run_history(backend.channel)
    names = [f"workspaces/space/runs/r{place}" for place in range(29)]
    end = Timestamp()
    end.FromMicroseconds((START + 3) * 1_000 + 333)
    await history.CompleteRun(messages.CompleteRunRequest(name=names[1], end_time=end))
    await history.FailRun(messages.FailRunRequest(name=names[2], end_time=end))
    await history.CancelRun(messages.CancelRunRequest(name=names[3]))
    for place, status in (
        (7, run_pb2.RUN_STATUS_UNAPPROVED),
        (14, run_pb2.RUN_STATUS_QUEUED),
        (21, run_pb2.RUN_STATUS_PROVISIONING),
        (28, run_pb2.RUN_STATUS_CANCEL_REQUESTED),
        (4, run_pb2.RUN_STATUS_FINALIZING),
        (5, run_pb2.RUN_STATUS_PAUSING),
        (6, run_pb2.RUN_STATUS_NOT_RESPONDING),
    ):
        update = messages.UpdateRunRequest(run=run_pb2.Run(name=names[place], status=status))
        update.update_mask.paths.append("status")
        await history.UpdateRun(update)


async def test_every_comparison_by_itself_finds_what_it_admits(
    gateway: Gateway, searched: tuple[str, Sequence[Document]]
) -> None:
    times = ("start_time", "end_time")
    clauses = [f"{key} {sign} {START + each}" for key in times for sign in SIGNS for each in range(-1, 5)]
    clauses += sorted({clause for document in searched[1] for clause in document.equalities()})
    clauses += [f"status != {_quoted(status)}" for status in STATUSES]

    for clause in clauses:
        await _check(gateway, searched, [clause])


@settings(max_examples=60)
@given(st.lists(_CLAUSES, min_size=1, max_size=3), st.sampled_from([[], ["start_time ASC"], ["run_name"]]))
@example(["tags.mark = ''"], [])
@example(["tags.mlflow.parentRunId = 'r1'"], [])
async def test_a_search_finds_what_its_filter_admits(
    gateway: Gateway, searched: tuple[str, Sequence[Document]], clauses: Sequence[str], order: Sequence[str]
) -> None:
    await _check(gateway, searched, clauses, order)


async def _check(
    gateway: Gateway, searched: tuple[str, Sequence[Document]], clauses: Sequence[str], order: Sequence[str] = ()
) -> None:
    (experiment, documents), text = searched, " AND ".join(clauses)

    answer = await gateway.post("runs/search", experiment_ids=[experiment], filter=text, order_by=list(order))

    parsed = parse_filter(text, RUN_SCHEMA)
    expected = {document.id for document in documents if admits(parsed, document)}
    assert {run["info"]["run_id"] for run in answer.found().get("runs", ())} == expected, text
