"""Agents. What a stream says counts only while its epoch is the last one of its agent. Times are the database's."""

from collections.abc import Sequence
from datetime import timedelta

from asyncpg import Record

from runstream_server.jobs.model import Agent, AgentFacts
from runstream_server.names import ComputeTargetName
from runstream_server.postgres import Postgres

_AGENT = """
a.workspace, a.compute_target, a.agent, a.host, a.labels, a.slots, a.gpus, a.draining, a.last_seen_time,
a.connected AND a.last_seen_time >= now() - $3::interval AS is_connected
"""

# Held jobs are those of an agent whatever their lease says.
_RUNS = """
ARRAY(SELECT j.run FROM jobs.job j
       WHERE j.workspace = a.workspace AND j.compute_target = a.compute_target AND j.agent = a.agent
         AND j.state = 'held'
       ORDER BY j.run) AS runs
"""


class AgentStore:
    """Agents."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def connect(self, facts: AgentFacts) -> int:
        """Notes that an agent connected; returns the epoch of its stream, which ends that of any other."""
        epoch: int = await self._postgres.fetchval(
            """
            INSERT INTO jobs.agent AS a (workspace, compute_target, agent, host, labels, slots, gpus, draining,
                                         connected, epoch, last_seen_time)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, true, 1, now())
            ON CONFLICT (workspace, compute_target, agent) DO UPDATE
               SET host = $4, labels = $5, slots = $6, gpus = $7, draining = $8, connected = true, epoch = a.epoch + 1,
                   last_seen_time = now()
            RETURNING epoch
            """,
            *_key(facts),
            facts.host,
            dict(facts.labels),
            facts.slots,
            facts.gpus,
            facts.draining,
        )
        return epoch

    async def saw(self, facts: AgentFacts, epoch: int) -> bool:
        """Notes that an agent was heard of, and whether it drains; returns False if another stream took its place."""
        seen = await self._postgres.execute(
            """
            UPDATE jobs.agent SET last_seen_time = now(), draining = $5
             WHERE workspace = $1 AND compute_target = $2 AND agent = $3 AND epoch = $4
            """,
            *_key(facts),
            epoch,
            facts.draining,
        )
        return seen == "UPDATE 1"

    async def left(self, facts: AgentFacts, epoch: int) -> None:
        """Notes that the stream of an agent ended, unless another one took its place."""
        await self._postgres.execute(
            """
            UPDATE jobs.agent SET connected = false
             WHERE workspace = $1 AND compute_target = $2 AND agent = $3 AND epoch = $4
            """,
            *_key(facts),
            epoch,
        )

    async def list_agents(
        self, target: ComputeTargetName, silence: timedelta, after: str, count: int
    ) -> Sequence[Agent]:
        """Returns up to `count` agents of a target with names after `after`, in order of name.

        Those that were silent for longer are not connected.
        """
        rows = await self._postgres.fetch(
            f"""
            SELECT {_AGENT}, {_RUNS} FROM jobs.agent a
             WHERE a.workspace = $1 AND a.compute_target = $2 AND a.agent > $4 ORDER BY a.agent LIMIT $5
            """,
            target.workspace,
            target.compute_target,
            silence,
            after,
            count,
        )
        return [_agent(row) for row in rows]

    async def forget(self, silence: timedelta) -> None:
        """Forgets agents that were silent for so long."""
        await self._postgres.execute("DELETE FROM jobs.agent WHERE last_seen_time < now() - $1::interval", silence)


def _key(facts: AgentFacts) -> tuple[str, str, str]:
    return facts.target.workspace, facts.target.compute_target, facts.agent


def _agent(row: Record) -> Agent:
    facts = AgentFacts(
        target=ComputeTargetName(row["workspace"], row["compute_target"]),
        agent=row["agent"],
        host=row["host"],
        labels=row["labels"],
        slots=row["slots"],
        gpus=row["gpus"],
        draining=row["draining"],
    )
    return Agent(
        facts=facts,
        connected=row["is_connected"],
        last_seen_time=row["last_seen_time"],
        runs=tuple(row["runs"]),
    )
