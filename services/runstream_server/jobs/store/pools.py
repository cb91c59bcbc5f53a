"""What the connected agents of a pool amount to, counted by the database: a pool may have thousands of them."""

from datetime import timedelta

from runstream_server.jobs.model import Job, PoolOutlook, PoolRoom
from runstream_server.names import ComputeTargetName
from runstream_server.postgres import Postgres

# $1, $2: the pool; $3: how long an agent may be silent. An agent has offered jobs, and held ones whatever their lease.
_CONNECTED = """
WITH used AS (
    SELECT agent, sum(slots) AS used_slots, sum(gpus) AS used_gpus
      FROM jobs.job
     WHERE workspace = $1 AND compute_target = $2 AND state IN ('offered', 'held') AND agent <> ''
     GROUP BY agent
), connected AS (
    SELECT agent, labels, slots, gpus, draining,
           slots - coalesce(used_slots, 0) AS free_slots, gpus - coalesce(used_gpus, 0) AS free_gpus
      FROM jobs.agent LEFT JOIN used USING (agent)
     WHERE workspace = $1 AND compute_target = $2 AND connected AND last_seen_time >= now() - $3::interval
)
"""


class PoolStore:
    """Pools of agents."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def room(self, target: ComputeTargetName, silence: timedelta) -> PoolRoom:
        """Returns how much room a pool has. Agents that were silent for longer are not connected."""
        row = await self._postgres.fetchrow(
            f"""
            {_CONNECTED}
            SELECT count(*) AS agents, coalesce(sum(slots), 0) AS slots,
                   coalesce(sum(greatest(free_slots, 0)) FILTER (WHERE NOT draining), 0) AS free_slots
              FROM connected
            """,
            target.workspace,
            target.compute_target,
            silence,
        )
        assert row is not None
        return PoolRoom(**dict(row))

    async def outlook(self, job: Job, silence: timedelta) -> PoolOutlook:
        """Returns what its pool has for a job. Agents that were silent for longer are not connected."""
        needs = job.requirements
        row = await self._postgres.fetchrow(
            f"""
            {_CONNECTED},
            labelled AS (SELECT *, slots >= $5 AND gpus >= $6 AS is_large FROM connected WHERE labels @> $4::jsonb)
            SELECT (SELECT count(*) FROM connected) AS agents,
                   (SELECT count(*) FROM connected WHERE NOT draining) AS taking,
                   coalesce((SELECT key || '=' || value FROM jsonb_each_text($4::jsonb)
                              WHERE NOT EXISTS (SELECT FROM connected WHERE labels ->> key = value)
                              ORDER BY key COLLATE "C" LIMIT 1), '') AS unknown_label,
                   count(*) AS labelled, coalesce(max(slots), 0) AS most_slots, coalesce(max(gpus), 0) AS most_gpus,
                   count(*) FILTER (WHERE is_large) AS large,
                   count(*) FILTER (WHERE is_large AND NOT draining) AS able,
                   count(*) FILTER (WHERE is_large AND NOT draining AND agent <> ALL($7::text[])) AS willing,
                   count(*) FILTER (WHERE NOT draining AND free_gpus >= $6) AS with_free_gpus,
                   count(*) FILTER (WHERE NOT draining AND free_gpus >= $6 AND free_slots >= $5) AS free
              FROM labelled
            """,
            job.target.workspace,
            job.target.compute_target,
            silence,
            dict(needs.labels),
            needs.slots,
            needs.gpus,
            list(job.declined_by),
        )
        assert row is not None
        return PoolOutlook(**dict(row))
