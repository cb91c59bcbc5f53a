"""What nobody asks for: jobs that somebody should have spoken for, or that a crash left half done.

What is due is judged by the clock of the database alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.jobs.model import HeldJob, JobState
from runstream_server.jobs.store.columns import ASK_AGAIN_TIME
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Postgres

AT_ONCE = 500
"""How many jobs are looked at in one statement."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A job that nobody has spoken for in time."""

    held: HeldJob
    state: JobState

    since: datetime
    """Until when somebody would have had to."""

    silence: timedelta
    """How long ago that was."""

    can_be_repeated: bool
    """Whether another agent may execute it again."""

    agent: str

    is_disowned: bool
    """Whether its agent said after that time that it has no runner of the job."""


class UpkeepStore:
    """Jobs that are looked after."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def look(self, longest_pause: timedelta) -> timedelta:
        """Notes that the jobs are looked after now; returns how long nobody did, where that is a long pause.

        By as much everybody has longer to speak for the jobs.
        """
        async with self._postgres.transaction() as connection:
            await connection.execute("INSERT INTO jobs.presence (look_time) VALUES (now()) ON CONFLICT DO NOTHING")
            since: timedelta = await connection.fetchval("SELECT now() - look_time FROM jobs.presence FOR UPDATE")
            pause = max(since, timedelta(0))
            if pause > longest_pause:
                await connection.execute("UPDATE jobs.hold SET expire_time = expire_time + $1", pause)
            await connection.execute("UPDATE jobs.presence SET look_time = greatest(look_time, now())")
        return pause if pause > longest_pause else timedelta(0)

    async def take_unsettled(self, since: timedelta) -> Sequence[RunName]:
        """Returns jobs whose runs have yet to be told for so long, and leaves them alone for a while."""
        rows = await self._postgres.fetch(
            """
            UPDATE jobs.job SET state_time = now()
             WHERE (workspace, run) IN (
                   SELECT workspace, run FROM jobs.job
                    WHERE state IN ('submitting', 'requeueing', 'ending') AND state_time < now() - $1::interval
                    ORDER BY state_time LIMIT $2 FOR UPDATE SKIP LOCKED)
            RETURNING workspace, run
            """,
            since,
            AT_ONCE,
        )
        return [RunName(row["workspace"], row["run"]) for row in rows]

    async def lapsed(self, after: RunName | None) -> Sequence[Lapsed]:
        """Returns jobs that nobody has spoken for in time, in order of name, after one of them."""
        rows = await self._postgres.fetch(
            """
            SELECT h.workspace, h.run, h.lease, h.expire_time, now() - h.expire_time AS silence, j.state, j.agent,
                   j.kind <> 'local' AND j.attempt < j.max_attempts AS can_be_repeated,
                   coalesce(h.disown_time > h.expire_time, false) AS is_disowned
              FROM jobs.hold h JOIN jobs.job j ON j.workspace = h.workspace AND j.run = h.run AND j.lease = h.lease
             WHERE h.expire_time < now() AND (h.workspace, h.run) > ($1, $2)
             ORDER BY h.workspace, h.run LIMIT $3
            """,
            after.workspace if after else "",
            after.run if after else "",
            AT_ONCE,
        )
        return [
            Lapsed(
                held=HeldJob(RunName(row["workspace"], row["run"]), row["lease"]),
                state=JobState(row["state"]),
                since=row["expire_time"],
                silence=row["silence"],
                can_be_repeated=row["can_be_repeated"],
                agent=row["agent"],
                is_disowned=row["is_disowned"],
            )
            for row in rows
        ]

    async def workspaces_with_queues(self) -> Collection[str]:
        """Returns the workspaces with jobs that wait for somebody else than their submitter."""
        rows = await self._postgres.fetch(
            "SELECT DISTINCT workspace FROM jobs.job WHERE state IN ('queued', 'offered') AND kind <> 'local'"
        )
        return {row["workspace"] for row in rows}

    async def waiting(self, workspace: str, runs: Sequence[str]) -> Sequence[HeldJob]:
        """Returns those jobs of runs that wait for a runner."""
        rows = await self._postgres.fetch(
            """
            SELECT run, lease FROM jobs.job
             WHERE workspace = $1 AND run = ANY($2::text[]) AND state IN ('queued', 'offered')
            """,
            workspace,
            runs,
        )
        return [HeldJob(RunName(workspace, row["run"]), row["lease"]) for row in rows]

    async def all_waiting(self, workspace: str, after: str, count: int) -> Sequence[HeldJob]:
        """Returns up to `count` jobs of a workspace that wait for somebody else than their submitter, after a run."""
        rows = await self._postgres.fetch(
            """
            SELECT run, lease FROM jobs.job
             WHERE workspace = $1 AND run > $2 AND state IN ('queued', 'offered') AND kind <> 'local'
             ORDER BY run LIMIT $3
            """,
            workspace,
            after,
            count,
        )
        return [HeldJob(RunName(workspace, row["run"]), row["lease"]) for row in rows]

    async def to_ask_again(self, since: timedelta) -> Collection[ComputeTargetName]:
        """Returns the targets with jobs that their agents declined, and are asked for again since a short time."""
        rows = await self._postgres.fetch(
            f"""
            SELECT DISTINCT workspace, compute_target FROM jobs.job
             WHERE state = 'queued' AND declined_time IS NOT NULL
               AND {ASK_AGAIN_TIME} BETWEEN now() - $1::interval AND now()
            """,
            since,
        )
        return [ComputeTargetName(row["workspace"], row["compute_target"]) for row in rows]

    async def ended(self, since: timedelta, after: RunName | None, count: int) -> Sequence[RunName]:
        """Returns up to `count` jobs that ended so long ago, in order of name, after one of them."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run FROM jobs.job
             WHERE state = 'ended' AND state_time < now() - $1::interval AND (workspace, run) > ($2, $3)
             ORDER BY workspace, run LIMIT $4
            """,
            since,
            after.workspace if after else "",
            after.run if after else "",
            count,
        )
        return [RunName(row["workspace"], row["run"]) for row in rows]

    async def forget(self, workspace: str, runs: Sequence[str]) -> None:
        """Forgets ended jobs; those of which a cluster still has something are left for later."""
        await self._postgres.execute(
            """
            DELETE FROM jobs.job j
             WHERE j.workspace = $1 AND j.run = ANY($2::text[]) AND j.state = 'ended'
               AND NOT EXISTS (SELECT FROM jobs.assignment a WHERE a.workspace = j.workspace AND a.run = j.run)
            """,
            workspace,
            runs,
        )

    async def queued_by_kind(self) -> Mapping[str, int]:
        """Returns how many jobs wait, by the kind of their target."""
        rows = await self._postgres.fetch(
            "SELECT kind, count(*) FROM jobs.job WHERE state IN ('queued', 'offered') GROUP BY kind"
        )
        return {row["kind"]: row["count"] for row in rows}
