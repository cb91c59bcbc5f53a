"""Jobs: each statement that changes one says in its WHERE which lease and which states it is for.

Times are those of the database, which all processes share: `now()` when a statement begins.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.jobs.model import HeldJob, Job, JobState, Submission, TargetKind, Verdict
from runstream_server.jobs.store.columns import JOB, job_of, verdict_json
from runstream_server.names import RunName
from runstream_server.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a job."""

    to: JobState

    raises_lease: bool = False
    """Whether the lease that there was no longer counts."""

    counts_attempt: bool = False
    """Whether the next attempt begins."""

    verdict: Verdict | None = None
    """How the run is to end; with ENDING."""

    lasts: timedelta | None = None
    """For how long somebody has the job without saying so again; None: nobody has to."""

    lapsed_at: datetime | None = None
    """Only if nobody has spoken for the job since, and had to until this time; None: whoever did."""


class JobStore:
    """Jobs."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, new: Submission, kind: TargetKind) -> Job | None:
        """Adds a job whose run is to be created; None if its target is gone, or if its request or run has a job."""
        spec, needs = new.spec, new.spec.requirements
        async with self._postgres.transaction() as connection:
            if kind is not TargetKind.LOCAL and not await connection.fetchval(
                """
                SELECT true FROM jobs.compute_target
                 WHERE workspace = $1 AND compute_target = $2 AND kind = $3 FOR KEY SHARE
                """,
                new.target.workspace,
                new.target.compute_target,
                kind,
            ):
                return None
            row = await connection.fetchrow(
                f"""
                INSERT INTO jobs.job AS j (workspace, run, compute_target, kind, request_id, definition, submission,
                                           state, priority, slots, gpus, labels, max_attempts, create_time, state_time)
                VALUES ($1, $2, $3, $4, $5, $6, $7, 'submitting', $8, $9, $10, $11, $12, now(), now())
                ON CONFLICT DO NOTHING RETURNING {JOB}
                """,
                new.name.workspace,
                new.name.run,
                new.target.compute_target,
                kind,
                new.request_id,
                spec.definition,
                new.run,
                spec.priority,
                needs.slots,
                needs.gpus,
                dict(needs.labels),
                spec.max_attempts,
            )
        return job_of(row) if row else None

    async def get(self, name: RunName) -> Job | None:
        """Returns the job of a run."""
        row = await self._postgres.fetchrow(
            f"SELECT {JOB} FROM jobs.job j WHERE workspace = $1 AND run = $2", name.workspace, name.run
        )
        return job_of(row) if row else None

    async def of_request(self, workspace: str, request_id: uuid.UUID) -> Job | None:
        """Returns the job that a request added."""
        row = await self._postgres.fetchrow(
            f"SELECT {JOB} FROM jobs.job j WHERE workspace = $1 AND request_id = $2", workspace, request_id
        )
        return job_of(row) if row else None

    async def drop(self, job: Job) -> None:
        """Forgets a job whose run was refused."""
        await self._postgres.execute(
            "DELETE FROM jobs.job WHERE workspace = $1 AND run = $2 AND request_id = $3 AND state = 'submitting'",
            job.name.workspace,
            job.name.run,
            job.request_id,
        )

    async def claim(self, name: RunName, holder: str, lease: int, lasts: timedelta) -> Job | None:
        """Makes somebody the holder of a job that waits, or was offered with the lease; None if it is neither.

        The same holder gets the job again. That others declined it before is forgotten.
        """
        row = await self._postgres.fetchrow(
            f"""
            WITH claimed AS (
                UPDATE jobs.job j
                   SET state = 'held', holder = $3, lease = CASE WHEN state = 'queued' THEN lease + 1 ELSE lease END,
                       agent = CASE WHEN state = 'queued' THEN '' ELSE agent END, state_time = now(),
                       declined_by = '{{}}', declined_time = NULL, decline_reason = '', declines = 0
                 WHERE workspace = $1 AND run = $2
                   AND (state = 'queued' AND $4::bigint = 0 OR state = 'offered' AND lease = $4
                        OR state = 'held' AND holder = $3 AND $4 IN (0, lease))
                RETURNING {JOB}
            ), kept AS (
                INSERT INTO jobs.hold (workspace, run, lease, expire_time)
                SELECT workspace, run, lease, now() + $5 FROM claimed
                ON CONFLICT (workspace, run) DO UPDATE SET lease = excluded.lease, expire_time = excluded.expire_time
            )
            SELECT * FROM claimed
            """,
            name.workspace,
            name.run,
            holder,
            lease,
            lasts,
        )
        return job_of(row) if row else None

    async def renew(self, held: HeldJob, lasts: timedelta) -> bool:
        """Lets a lease count for longer; returns False if it no longer counts."""
        renewed = await self._postgres.execute(
            """
            UPDATE jobs.hold h SET expire_time = greatest(h.expire_time, now() + $4)
              FROM jobs.job j
             WHERE h.workspace = $1 AND h.run = $2 AND h.lease = $3
               AND j.workspace = h.workspace AND j.run = h.run AND j.lease = h.lease AND j.state = 'held'
            """,
            held.name.workspace,
            held.name.run,
            held.lease,
            lasts,
        )
        return renewed == "UPDATE 1"

    async def change(self, held: HeldJob, states: Collection[JobState], change: Change) -> bool:
        """Changes a job if it has one of these states under this lease; returns whether it did."""
        changed = await self._postgres.fetchval(
            """
            WITH changed AS (
                UPDATE jobs.job
                   SET state = $5, lease = lease + $6::int, attempt = attempt + $7::int, verdict = $8,
                       submission = NULL, state_time = now(),
                       holder = CASE WHEN $5 IN ('queued', 'requeueing') THEN '' ELSE holder END
                 WHERE workspace = $1 AND run = $2 AND lease = $3 AND state = ANY($4)
                   AND ($10::timestamptz IS NULL OR EXISTS (
                       SELECT FROM jobs.hold h WHERE h.workspace = $1 AND h.run = $2 AND h.expire_time = $10))
                RETURNING workspace, run, lease
            ), kept AS (
                INSERT INTO jobs.hold (workspace, run, lease, expire_time)
                SELECT workspace, run, lease, now() + $9 FROM changed WHERE $9::interval IS NOT NULL
                ON CONFLICT (workspace, run) DO UPDATE SET lease = excluded.lease, expire_time = excluded.expire_time
            ), released AS (
                DELETE FROM jobs.hold h USING changed
                 WHERE $9::interval IS NULL AND h.workspace = changed.workspace AND h.run = changed.run
            )
            SELECT true FROM changed
            """,
            held.name.workspace,
            held.name.run,
            held.lease,
            [state.value for state in states],
            change.to.value,
            int(change.raises_lease),
            int(change.counts_attempt),
            verdict_json(change.verdict),
            change.lasts,
            change.lapsed_at,
        )
        return bool(changed)

    async def count_ahead(self, job: Job, most: int) -> int:
        """Returns how many queued jobs of the same target go before a queued one; of more than `most`, so many."""
        count: int = await self._postgres.fetchval(
            """
            SELECT count(*)
              FROM (SELECT FROM jobs.job
                     WHERE workspace = $1 AND compute_target = $2 AND state = 'queued'
                       AND (priority > $3 OR priority = $3 AND sequence < $4)
                     LIMIT $5) ahead
            """,
            job.target.workspace,
            job.target.compute_target,
            job.priority,
            job.sequence,
            most,
        )
        return count
