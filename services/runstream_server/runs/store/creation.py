"""Creates runs, many in one statement: all of them or none."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from runstream_server.postgres import Postgres
from runstream_server.runs.model import Labels, NewRun, Run, RunKind
from runstream_server.runs.status import RunStatus
from runstream_server.runs.store.columns import history_entry


class Refused(Exception):
    """Something in the way of one of the runs at least; nothing was created."""


@dataclass(frozen=True)
class Remembered:
    """A request whose making is remembered."""

    kind: str
    request_id: uuid.UUID
    made: Sequence[str]


@dataclass(frozen=True)
class Obstacles:
    """What may be in the way of creating runs, as it is now."""

    workspace_exists: bool
    experiments: frozenset[str]
    """Those of the wanted experiments that exist."""

    parents: Mapping[str, str]
    """The experiment of each wanted parent that exists."""

    taken: frozenset[str]
    """Those of the wanted identifiers that are taken."""

    requests: Mapping[uuid.UUID, Sequence[str]]
    """What the wanted requests have made already."""


# What runs share, a kind or labels, is sent once: sending each column of each run costs as much as storing it. A wrong
# experiment or parent leaves a NULL where there may be none, which refuses the whole statement. Parents are looked up
# one by one: a plan that was made, and kept, while the table was small would read all of it otherwise.
_CREATE = """
WITH locked AS (
    SELECT experiment FROM runs.run_counter
     WHERE workspace = $1 AND experiment = ANY($3::text[]) ORDER BY experiment FOR UPDATE
), counter AS (
    UPDATE runs.run_counter n SET last = n.last + wanted.count
      FROM unnest($3::text[], $4::bigint[]) AS wanted (experiment, count) JOIN locked USING (experiment)
     WHERE n.workspace = $1 AND n.experiment = ANY($3) AND n.experiment = wanted.experiment
    RETURNING n.experiment, n.last - wanted.count AS base
), kind AS (
    SELECT k.*, c.base, p.root AS parent_root,
           CASE WHEN k.parent IS NULL THEN c.experiment
                WHEN k.asked_experiment IS NULL OR k.asked_experiment = p.experiment THEN p.experiment END AS experiment
      FROM unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[], $10::text[], $11::text[],
                  $12::boolean[], $13::interval[], $14::boolean[], $15::text[], $16::text[], $17::boolean[],
                  $18::timestamptz[])
           WITH ORDINALITY AS k (asked_experiment, parent, run_type, description, heartbeat_enabled, creator, target,
                  service_managed, max_run_duration, hidden, script_name, label, start, start_time, kind)
      LEFT JOIN counter c ON k.parent IS NULL AND c.experiment = k.asked_experiment
      LEFT JOIN LATERAL (
           SELECT root, experiment FROM runs.run
            WHERE workspace = $1 AND run = k.parent AND k.parent IS NOT NULL LIMIT 1
           ) AS p ON true
), labels AS MATERIALIZED (
    SELECT l.tags::jsonb, l.properties::jsonb, l.labels
      FROM unnest($24::text[], $25::text[]) WITH ORDINALITY AS l (tags, properties, labels)
), created AS (
    INSERT INTO runs.run (
           workspace, run, experiment, parent, root, number, run_type, display_name, description, status, tags,
           properties, create_time, start_time, update_time, heartbeat_enabled, creator, target, service_managed,
           max_run_duration, deadline, hidden, script_name, label, status_history)
    SELECT $1, r.run, k.experiment, k.parent, coalesce(k.parent_root, r.run), coalesce(k.base + r.place, 0), k.run_type,
           r.display_name, k.description, CASE WHEN k.start THEN 'Running' ELSE 'NotStarted' END, l.tags,
           l.properties, $2, CASE WHEN k.start THEN least(k.start_time, $2::timestamptz) END, $2,
           k.heartbeat_enabled, k.creator, k.target, k.service_managed, k.max_run_duration,
           CASE WHEN k.start THEN $2::timestamptz + k.max_run_duration END, k.hidden, k.script_name, k.label,
           CASE WHEN k.start THEN $26::jsonb ELSE $27::jsonb END
      FROM unnest($19::int[], $20::text[], $21::int[], $22::text[], $23::int[])
           AS r (kind, run, place, display_name, labels)
      JOIN kind k USING (kind)
      JOIN labels l USING (labels)
), beating AS (
    INSERT INTO runs.heartbeat (workspace, run, time)
    SELECT $1, r.run, $2 FROM unnest($19::int[], $20::text[]) AS r (kind, run) JOIN kind k USING (kind)
     WHERE k.start AND k.heartbeat_enabled
), remembered AS (
    INSERT INTO runs.request (workspace, kind, request_id, made, create_time)
    SELECT $1, q.kind, q.request_id, string_to_array(q.made, '/'), $2
      FROM unnest($28::text[], $29::uuid[], $30::text[]) AS q (kind, request_id, made)
)
SELECT k.kind, k.experiment, k.parent_root, k.base,
       (SELECT e.display_name FROM runs.experiment e WHERE e.workspace = $1 AND e.experiment = k.experiment),
       (SELECT e.archive_time FROM runs.experiment e WHERE e.workspace = $1 AND e.experiment = k.experiment)
  FROM kind k ORDER BY k.kind
"""


class CreationStore:
    """Creates runs."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(
        self, workspace: str, runs: Sequence[NewRun], requests: Sequence[Remembered], at: datetime
    ) -> Sequence[Run]:
        """Creates runs with distinct identifiers and remembers the requests; returns the runs in their order.

        Raises:
            Refused: An identifier is taken, a request is known, or an experiment or parent does not fit.
        """
        columns = _Columns(runs)
        try:
            rows = await self._postgres.fetch(_CREATE, workspace, at, *columns.arguments(at), *_requests(requests))
        except (asyncpg.UniqueViolationError, asyncpg.NotNullViolationError):
            raise Refused from None
        return [
            _created(workspace, run, rows[kind - 1], place, at)
            for run, kind, place in zip(runs, columns.kinds, columns.places, strict=True)
        ]

    async def obstacles(self, workspace: str, runs: Sequence[NewRun], requests: Sequence[Remembered]) -> Obstacles:
        """Returns what may be in the way of creating these runs."""
        row = await self._postgres.fetchrow(
            """
            SELECT EXISTS (SELECT FROM runs.workspace WHERE workspace = $1),
                   ARRAY(SELECT experiment FROM runs.experiment WHERE workspace = $1 AND experiment = ANY($2)),
                   (SELECT coalesce(jsonb_object_agg(run, experiment), '{}') FROM runs.run
                     WHERE workspace = $1 AND run = ANY($3)),
                   ARRAY(SELECT run FROM runs.run WHERE workspace = $1 AND run = ANY($4)),
                   (SELECT coalesce(jsonb_object_agg(request_id, made), '{}') FROM runs.request
                     WHERE workspace = $1 AND (kind, request_id) IN (SELECT * FROM unnest($5::text[], $6::uuid[])))
            """,
            workspace,
            list({run.kind.experiment for run in runs if run.kind.experiment is not None}),
            list({run.kind.parent for run in runs if run.kind.parent is not None}),
            [run.run for run in runs],
            [request.kind for request in requests],
            [request.request_id for request in requests],
        )
        assert row is not None
        exists, experiments, parents, taken, made = row
        return Obstacles(
            workspace_exists=exists,
            experiments=frozenset(experiments),
            parents=parents,
            taken=frozenset(taken),
            requests={uuid.UUID(request_id): names for request_id, names in made.items()},
        )


class _Columns:
    """The columns of runs to create. Kinds and labels count from 1, places among the new runs of an experiment too.

    What is shared is recognised by being the same object: that is cheap, and to send something twice does no harm.
    """

    def __init__(self, runs: Sequence[NewRun]) -> None:
        self.kinds: list[int] = []
        self.places: list[int] = []
        self._runs = runs
        self._labels: list[int] = []
        self._numbers: dict[int, int] = {}
        self._distinct_kinds: list[RunKind] = []
        self._distinct_labels: list[tuple[str, str]] = []
        self._counts: dict[str | None, int] = {}
        for run in runs:
            kind = run.kind
            self.kinds.append(self._numbers.get(id(kind)) or self._number_kind(kind))
            self._labels.append(self._numbers.get(id(run.labels)) or self._number_labels(run.labels))
            self.places.append(self._place(kind.experiment) if kind.parent is None else 0)

    def _number_kind(self, kind: RunKind) -> int:
        self._distinct_kinds.append(kind)
        number = self._numbers[id(kind)] = len(self._distinct_kinds)
        return number

    def _number_labels(self, labels: Labels) -> int:
        self._distinct_labels.append((_encode(labels.tags), _encode(labels.properties)))
        number = self._numbers[id(labels)] = len(self._distinct_labels)
        return number

    def _place(self, experiment: str | None) -> int:
        place = self._counts[experiment] = self._counts.get(experiment, 0) + 1
        return place

    def arguments(self, at: datetime) -> Sequence[object]:
        """From the counted experiments to the status histories."""
        created = history_entry(RunStatus.NOT_STARTED, at)
        return (
            list(self._counts),
            list(self._counts.values()),
            *map(list, zip(*self._distinct_kinds, strict=True)),
            self.kinds,
            [run.run for run in self._runs],
            self.places,
            [run.display_name for run in self._runs],
            self._labels,
            *map(list, zip(*self._distinct_labels, strict=True)),
            [created, history_entry(RunStatus.RUNNING, at)],
            [created],
        )


def _requests(requests: Sequence[Remembered]) -> Sequence[object]:
    return (
        [request.kind for request in requests],
        [request.request_id for request in requests],
        ["/".join(request.made) for request in requests],  # no identifier has a slash
    )


_encode = json.JSONEncoder(check_circular=False).encode


def _created(workspace: str, new: NewRun, known: asyncpg.Record, place: int, at: datetime) -> Run:
    kind = new.kind
    return Run(
        workspace,
        new.run,
        known["experiment"],
        known["display_name"],
        kind.parent,
        known["parent_root"] or new.run,
        0 if kind.parent is not None else known["base"] + place,
        kind.run_type,
        new.display_name,
        kind.description,
        RunStatus.RUNNING if kind.start else RunStatus.NOT_STARTED,
        new.labels.tags,
        new.labels.properties,
        at,
        min(kind.start_time or at, at) if kind.start else None,
        None,
        at,
        kind.heartbeat_enabled,
        None,
        (),
        kind.creator,
        kind.target,
        kind.service_managed,
        kind.max_run_duration,
        None,
        kind.hidden,
        None,
        kind.script_name,
        kind.label,
        known["archive_time"],
    )
