"""Attempts of runs that were given to clusters, and who looks after them. Times are those of the database."""

import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from asyncpg import Record

from runstream_server.jobs.model import Assignment, JobState, Place
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Connection, Postgres

AT_ONCE = 64
"""How many jobs are assigned in one transaction."""

_COLUMNS = """
a.workspace, a.run, a.attempt, a.lease, a.cluster, a.namespace, a.name, a.uid, a.message, j.compute_target, j.state,
j.lease AS job_lease, j.attempt AS job_attempt, j.max_attempts, j.state_time, h.expire_time AS hold_time,
now() AS read_time
"""

_JOINED = """
jobs.assignment a JOIN jobs.job j ON j.workspace = a.workspace AND j.run = a.run
LEFT JOIN jobs.hold h ON h.workspace = j.workspace AND h.run = j.run AND h.lease = j.lease
"""

_OF_PLACE = """
SELECT workspace, compute_target FROM jobs.compute_target
 WHERE kind = 'kubernetes' AND configuration ->> 'cluster' = $1 AND configuration ->> 'namespace' = $2
"""

NameOf = Callable[[RunName, int], str]


class AssignmentStore:
    """Attempts of runs that were given to clusters."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def installation(self) -> str:
        """The name of this installation, the same for ever."""
        installation: uuid.UUID = await self._postgres.fetchval("SELECT installation FROM jobs.installation")
        return installation.hex

    async def places_to_lead(self) -> Collection[Place]:
        """Returns the places in which there is something to do, and nobody leads."""
        rows = await self._postgres.fetch(
            """
            WITH place AS (
                SELECT cluster, namespace FROM jobs.assignment
                UNION
                SELECT t.configuration ->> 'cluster', t.configuration ->> 'namespace'
                  FROM jobs.compute_target t
                 WHERE t.kind = 'kubernetes' AND EXISTS (
                       SELECT FROM jobs.job j
                        WHERE j.workspace = t.workspace AND j.compute_target = t.compute_target AND j.state = 'queued')
            )
            SELECT cluster, namespace FROM place p
             WHERE NOT EXISTS (
                   SELECT FROM jobs.lead l
                    WHERE l.cluster = p.cluster AND l.namespace = p.namespace AND l.expire_time > now())
            """
        )
        return {Place(row["cluster"], row["namespace"]) for row in rows}

    async def assign(self, place: Place, epoch: int, name_of: NameOf) -> int | None:
        """Assigns up to `AT_ONCE` queued jobs to a place; returns how many, None if another process leads there."""
        async with self._postgres.transaction() as connection:
            if not await _leads(connection, place, epoch):
                return None
            rows = await connection.fetch(
                f"""
                SELECT j.workspace, j.run, j.attempt FROM jobs.job j
                 WHERE (j.workspace, j.compute_target) IN ({_OF_PLACE}) AND j.state = 'queued'
                 ORDER BY priority DESC, sequence LIMIT $3 FOR UPDATE SKIP LOCKED
                """,
                place.cluster,
                place.namespace,
                AT_ONCE,
            )
            for row in rows:
                name = name_of(RunName(row["workspace"], row["run"]), row["attempt"])
                await _assign(connection, row, place, name)
        return len(rows)

    async def of_place(self, place: Place) -> Sequence[Assignment]:
        """Returns all that is assigned to a place, those that were assigned first in front."""
        rows = await self._postgres.fetch(
            f"""
            SELECT {_COLUMNS} FROM {_JOINED} WHERE a.cluster = $1 AND a.namespace = $2 ORDER BY a.create_time, a.name
            """,
            place.cluster,
            place.namespace,
        )
        return [_assignment(row) for row in rows]

    async def message(self, run: RunName) -> str:
        """Returns why a run waits, as far as the attempt that counts is assigned; empty: nothing is known."""
        message: str | None = await self._postgres.fetchval(
            f"SELECT a.message FROM {_JOINED} WHERE a.workspace = $1 AND a.run = $2 AND a.lease = j.lease",
            run.workspace,
            run.run,
        )
        return message or ""

    async def made(self, assignment: Assignment, uid: str) -> None:
        """Notes that everything of an attempt is in the cluster."""
        await self._postgres.execute(
            "UPDATE jobs.assignment SET uid = $4 WHERE workspace = $1 AND run = $2 AND attempt = $3",
            *_key(assignment),
            uid,
        )

    async def tell(self, assignment: Assignment, message: str) -> None:
        """Notes why an attempt waits."""
        await self._postgres.execute(
            "UPDATE jobs.assignment SET message = $4 WHERE workspace = $1 AND run = $2 AND attempt = $3",
            *_key(assignment),
            message,
        )

    async def forget(self, assignment: Assignment) -> None:
        """Forgets an attempt that needs no looking after."""
        await self._postgres.execute(
            "DELETE FROM jobs.assignment WHERE workspace = $1 AND run = $2 AND attempt = $3", *_key(assignment)
        )


class LeadStore:
    """Who looks after the Jobs of a place."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def take(self, place: Place, holder: uuid.UUID, lasts: timedelta) -> int | None:
        """Takes the lead if nobody has it; returns its epoch, which grows with each change of hands."""
        epoch: int | None = await self._postgres.fetchval(
            """
            INSERT INTO jobs.lead AS l (cluster, namespace, holder, epoch, expire_time)
            VALUES ($1, $2, $3, 1, now() + $4)
            ON CONFLICT (cluster, namespace) DO UPDATE
               SET holder = excluded.holder, epoch = l.epoch + 1, expire_time = excluded.expire_time
             WHERE l.expire_time <= now()
            RETURNING epoch
            """,
            place.cluster,
            place.namespace,
            holder,
            lasts,
        )
        return epoch

    async def keep(self, place: Place, epoch: int, lasts: timedelta) -> bool:
        """Keeps the lead for so long from now; returns False if somebody else has it. No time gives it up."""
        kept = await self._postgres.execute(
            "UPDATE jobs.lead SET expire_time = now() + $4 WHERE cluster = $1 AND namespace = $2 AND epoch = $3",
            place.cluster,
            place.namespace,
            epoch,
            lasts,
        )
        return kept == "UPDATE 1"


async def _leads(connection: Connection, place: Place, epoch: int) -> bool:
    """Whether somebody has the lead; nobody else takes it until the transaction ends."""
    return bool(
        await connection.fetchval(
            """
            SELECT true FROM jobs.lead
             WHERE cluster = $1 AND namespace = $2 AND epoch = $3 AND expire_time > now() FOR SHARE
            """,
            place.cluster,
            place.namespace,
            epoch,
        )
    )


async def _assign(connection: Connection, job: Record, place: Place, name: str) -> None:
    await connection.execute(
        """
        WITH offered AS (
            UPDATE jobs.job SET state = 'offered', lease = lease + 1, agent = $6, state_time = now()
             WHERE workspace = $1 AND run = $2
            RETURNING workspace, run, lease
        )
        INSERT INTO jobs.assignment (workspace, run, attempt, lease, cluster, namespace, name, create_time)
        SELECT workspace, run, $3, lease, $4, $5, $6, now() FROM offered
        """,
        job["workspace"],
        job["run"],
        job["attempt"],
        place.cluster,
        place.namespace,
        name,
    )


def _assignment(row: Record) -> Assignment:
    return Assignment(
        run=RunName(row["workspace"], row["run"]),
        attempt=row["attempt"],
        lease=row["lease"],
        place=Place(row["cluster"], row["namespace"]),
        name=row["name"],
        uid=row["uid"],
        message=row["message"],
        target=ComputeTargetName(row["workspace"], row["compute_target"]),
        job_state=JobState(row["state"]),
        job_lease=row["job_lease"],
        max_attempts=row["max_attempts"],
        job_attempt=row["job_attempt"],
        read_time=row["read_time"],
        state_time=row["state_time"],
        hold_time=row["hold_time"],
    )


def _key(assignment: Assignment) -> tuple[str, str, int]:
    return assignment.run.workspace, assignment.run.run, assignment.attempt
