"""The queue of a pool of agents: who gets which job next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from asyncpg import Record

from runstream_server.jobs.model import AgentFacts, HeldJob, Job
from runstream_server.jobs.store.columns import ASK_AGAIN_TIME, JOB, job_of
from runstream_server.names import RunName
from runstream_server.postgres import Connection, Postgres

AT_ONCE = 32
"""How many jobs are offered to an agent in one transaction."""

MOST_REMEMBERED = 1_000
"""How many agents a job remembers that declined it: those that did so last."""


@dataclass(frozen=True, slots=True)
class Asking:
    """An agent that has room for jobs."""

    facts: AgentFacts

    epoch: int
    """That of its stream."""

    held: Sequence[str]
    """The runs whose runners it says it has."""


@dataclass(frozen=True, slots=True)
class Terms:
    """By which the queue decides."""

    lasts: timedelta
    """For how long an offer counts."""

    patience: timedelta
    """A job that has waited for so long is not overtaken where it would fit."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What an agent was offered."""

    jobs: Sequence[Job]

    is_full: bool
    """Whether the agent has no room left, or takes nothing."""

    is_whole: bool
    """Whether it was offered all that there is for it; False: there may be more."""


class QueueStore:
    """Offers queued jobs. Each is locked before it is offered, so no two processes offer the same one."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def offer(self, asking: Asking, terms: Terms) -> Offered | None:
        """Offers as many queued jobs as fit, up to `AT_ONCE`; None if another stream took the place of the agent's."""
        async with self._postgres.transaction() as connection:
            agent = await _agent(connection, asking)
            if agent is None:
                return None
            free = await _free(connection, asking, agent)
            if agent["draining"] or free.slots <= 0:
                return Offered((), is_full=True, is_whole=True)
            most = min(free.slots, AT_ONCE)  # more would not fit, and what is locked here nobody else gets meanwhile
            candidates = await _candidates(connection, asking, terms, agent, free, most)
            chosen = _fitting(candidates, free)
            jobs = await _offered(connection, asking, chosen, terms)
            return Offered(jobs, is_full=free.slots <= 0, is_whole=len(candidates) < most)

    async def offered_to(self, facts: AgentFacts) -> Sequence[Job]:
        """Returns the jobs that are offered to an agent, and may still be claimed."""
        rows = await self._postgres.fetch(
            f"""
            SELECT {JOB} FROM jobs.job j JOIN jobs.hold h ON h.workspace = j.workspace AND h.run = j.run
             WHERE j.workspace = $1 AND j.compute_target = $2 AND j.agent = $3 AND j.state = 'offered'
               AND h.expire_time > now()
             ORDER BY j.priority DESC, j.sequence
            """,
            *_key(facts),
        )
        return [job_of(row) for row in rows]

    async def take_back(self, held: HeldJob, reason: str) -> bool:
        """Queues an offered job again, for other agents first; returns False if the offer no longer counts."""
        taken = await self._postgres.fetchval(
            """
            WITH taken AS (
                UPDATE jobs.job
                   SET state = 'queued', lease = lease + 1, state_time = now(),
                       declined_time = now(), decline_reason = $4, declines = declines + 1,
                       declined_by = CASE
                           WHEN agent = ANY(declined_by) THEN declined_by
                           ELSE (declined_by || agent)[greatest(cardinality(declined_by) - $5, 0) + 1:] END
                 WHERE workspace = $1 AND run = $2 AND lease = $3 AND state = 'offered'
                RETURNING workspace, run
            ), released AS (
                DELETE FROM jobs.hold h USING taken WHERE h.workspace = taken.workspace AND h.run = taken.run
            )
            SELECT true FROM taken
            """,
            held.name.workspace,
            held.name.run,
            held.lease,
            reason,
            MOST_REMEMBERED - 1,
        )
        return bool(taken)

    async def disown(self, facts: AgentFacts, present: Sequence[str]) -> None:
        """Notes which jobs nobody renewed whose runners an agent does not have, given the runs it has."""
        await self._postgres.execute(
            """
            UPDATE jobs.hold h SET disown_time = now()
              FROM jobs.job j
             WHERE j.workspace = $1 AND j.compute_target = $2 AND j.agent = $3 AND j.state = 'held'
               AND h.workspace = j.workspace AND h.run = j.run AND h.expire_time < now()
               AND h.disown_time > h.expire_time IS NOT TRUE AND h.run <> ALL($4::text[])
            """,
            *_key(facts),
            present,
        )

    async def leases(self, workspace: str, runs: Iterable[str]) -> Mapping[RunName, int]:
        """Returns the leases that count, by run; runs without a job are left out."""
        rows = await self._postgres.fetch(
            "SELECT run, lease FROM jobs.job WHERE workspace = $1 AND run = ANY($2::text[])", workspace, list(runs)
        )
        return {RunName(workspace, row["run"]): row["lease"] for row in rows}


@dataclass(slots=True)
class _Room:
    slots: int
    gpus: int

    def takes(self, row: Record) -> bool:
        """Whether a job fits; it takes its room then."""
        if row["slots"] > self.slots or row["gpus"] > self.gpus:
            return False
        self.slots -= row["slots"]
        self.gpus -= row["gpus"]
        return True


async def _agent(connection: Connection, asking: Asking) -> Record | None:
    return await connection.fetchrow(
        """
        SELECT slots, gpus, labels, draining FROM jobs.agent
         WHERE workspace = $1 AND compute_target = $2 AND agent = $3 AND epoch = $4 FOR UPDATE
        """,
        *_key(asking.facts),
        asking.epoch,
    )


async def _free(connection: Connection, asking: Asking, agent: Record) -> _Room:
    """What is left beside the jobs offered to the agent, and those held that somebody was heard of."""
    used = await connection.fetchrow(
        """
        SELECT coalesce(sum(j.slots), 0) AS slots, coalesce(sum(j.gpus), 0) AS gpus
          FROM jobs.job j JOIN jobs.hold h ON h.workspace = j.workspace AND h.run = j.run
         WHERE j.workspace = $1 AND j.compute_target = $2 AND j.agent = $3
           AND (j.state = 'offered' OR j.state = 'held' AND (h.expire_time > now() OR j.run = ANY($4::text[])))
        """,
        *_key(asking.facts),
        list(asking.held),
    )
    return _Room(agent["slots"] - used["slots"], agent["gpus"] - used["gpus"]) if used else _Room(0, 0)


async def _candidates(
    connection: Connection, asking: Asking, terms: Terms, agent: Record, free: _Room, most: int
) -> Sequence[Record]:
    """The first jobs of the queue that fit now, and those that would fit and have waited for long; locked."""
    return await connection.fetch(
        f"""
        SELECT run, slots, gpus, create_time < now() - $9::interval AS is_reserved FROM jobs.job
         WHERE workspace = $1 AND compute_target = $2 AND state = 'queued'
           AND slots <= $4 AND gpus <= $5 AND labels <@ $6
           AND (slots <= $7 AND gpus <= $8 OR create_time < now() - $9::interval)
           AND ($3 <> ALL(declined_by) OR {ASK_AGAIN_TIME} < now())
         ORDER BY priority DESC, sequence LIMIT $10 FOR UPDATE SKIP LOCKED
        """,
        *_key(asking.facts),
        agent["slots"],
        agent["gpus"],
        agent["labels"],
        free.slots,
        free.gpus,
        terms.patience,
        most,
    )


def _fitting(rows: Sequence[Record], free: _Room) -> Sequence[str]:
    chosen = []
    for row in rows:
        if free.takes(row):
            chosen.append(row["run"])
        elif row["is_reserved"]:
            break  # the room is kept for it
    return chosen


async def _offered(connection: Connection, asking: Asking, runs: Sequence[str], terms: Terms) -> Sequence[Job]:
    if not runs:
        return []
    rows = await connection.fetch(
        f"""
        WITH offered AS (
            UPDATE jobs.job j SET state = 'offered', lease = lease + 1, agent = $2, state_time = now()
             WHERE workspace = $1 AND run = ANY($3::text[])
            RETURNING {JOB}
        ), kept AS (
            INSERT INTO jobs.hold (workspace, run, lease, expire_time)
            SELECT workspace, run, lease, now() + $4 FROM offered
            ON CONFLICT (workspace, run) DO UPDATE SET lease = excluded.lease, expire_time = excluded.expire_time
        )
        SELECT * FROM offered ORDER BY priority DESC, sequence
        """,
        asking.facts.target.workspace,
        asking.facts.agent,
        runs,
        terms.lasts,
    )
    return [job_of(row) for row in rows]


def _key(facts: AgentFacts) -> tuple[str, str, str]:
    return facts.target.workspace, facts.target.compute_target, facts.agent
