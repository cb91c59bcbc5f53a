"""Why a job waits, in words for people."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from string import ascii_lowercase
from typing import Any

import pytest

from runstream_server.jobs.model import Job, JobState, PoolRoom, Requirements, TargetKind
from runstream_server.jobs.rules.waiting import reason_to_wait
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.jobs.store.pools import PoolStore
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Postgres

POOL, NOW = ComputeTargetName("space", "pool"), datetime(2026, 1, 1, tzinfo=UTC)


def job(decline_reason: str = "", **needs: Any) -> Job:
    return Job(
        name=RunName("space", "run"),
        target=POOL,
        kind=TargetKind.AGENT_POOL,
        request_id=uuid.UUID(int=1),
        state=JobState.QUEUED,
        definition=b"",
        requirements=Requirements(**needs),
        priority=0,
        max_attempts=1,
        attempt=1,
        lease=0,
        agent="",
        runner="",
        sequence=1,
        create_time=NOW,
        decline_reason=decline_reason,
    )


@dataclass(frozen=True)
class Connected:
    """An agent that is connected, and what it uses."""

    labels: Mapping[str, str] = field(default_factory=dict)
    slots: int = 4
    gpus: int = 4
    draining: bool = False
    used_slots: int = 0
    used_gpus: int = 0


def agent(**of_agent: Any) -> Connected:
    return Connected(**of_agent)


async def connect(postgres: Postgres, agents: Sequence[Connected]) -> None:
    """Connects agents named a, b and so on to the pool, and gives each of them a job if it uses anything."""
    for name, each in zip(ascii_lowercase, agents, strict=False):
        await postgres.execute(
            """
            INSERT INTO jobs.agent (workspace, compute_target, agent, host, labels, slots, gpus, draining, connected,
                                    epoch, last_seen_time)
            VALUES ('space', 'pool', $1, '', $2, $3, $4, $5, true, 1, now())
            """,
            *(name, dict(each.labels), each.slots, each.gpus, each.draining),
        )
        if each.used_slots:
            await postgres.execute(
                """
                INSERT INTO jobs.job (workspace, run, compute_target, kind, request_id, definition, state, priority,
                                      slots, gpus, labels, max_attempts, agent, holder, create_time, state_time)
                VALUES ('space', 'of ' || $1::text, 'pool', 'agent_pool', gen_random_uuid(), '', 'held', 0, $2, $3,
                        '{}', 1, $1, 'runner', now(), now())
                """,
                *(name, each.used_slots, each.used_gpus),
            )


async def reason(postgres: Postgres, waiting: Job, ahead: int) -> str:
    return reason_to_wait(waiting, await PoolStore(postgres).outlook(waiting, timedelta(minutes=1)), ahead)


BUSY = agent(used_slots=3, used_gpus=3)


@pytest.mark.parametrize(
    ("waiting", "agents", "ahead", "told"),
    [
        (
            job(),
            [],
            0,
            "no agent of target pool is connected; start one with `runstream agent start --target pool`",
        ),
        (job(), [agent(draining=True)], 0, "all connected agents of target pool drain"),
        (job(labels={"gpu": "a100"}), [agent()], 0, "no connected agent of target pool has label gpu=a100"),
        (
            job(labels={"a": "1", "b": "2"}),
            [agent(labels={"a": "1"}), agent(labels={"b": "2"})],
            0,
            "no connected agent of target pool has all of the labels a=1, b=2",
        ),
        (job(gpus=5), [agent()], 0, "needs 5 GPUs, and no connected agent of target pool has more than 4"),
        (job(slots=5), [agent()], 0, "needs 5 slots, and no connected agent of target pool has more than 4"),
        (
            job(slots=4, gpus=4),
            [agent(slots=1), agent(gpus=1)],
            0,
            "no connected agent of target pool has 4 GPUs and 4 slots",
        ),
        (job(gpus=2), [BUSY], 3, "waits for 2 free GPUs; 3 jobs before it"),
        (job(gpus=2), [BUSY], 0, "waits for 2 free GPUs"),
        (job(slots=2), [BUSY], 1, "waits for 2 free slots; 1 job before it"),
        (job(), [BUSY], 1, "waits for its turn; 1 job before it"),
        (job(), [BUSY], 1_001, "waits for its turn; more than 1,000 jobs before it"),
        (job("agent a had no disk"), [BUSY], 0, "waits for its turn; agent a had no disk"),
    ],
)  # fmt: skip
async def test_a_job_says_what_it_waits_for(
    postgres: Postgres, waiting: Job, agents: list[Connected], ahead: int, told: str
) -> None:
    await connect(postgres, agents)

    assert await reason(postgres, waiting, ahead) == told


def declined(*names: str, **needs: Any) -> Job:
    reason = f"agent {names[-1]} could not start it: no disk"
    return replace(job(reason, **needs), declined_by=frozenset(names), ask_again_time=NOW)


@pytest.mark.parametrize(
    ("waiting", "agents", "told"),
    [
        (
            declined("a"),
            [agent()],
            "nobody takes it: the only agent of target pool that could execute it declined, and is asked again at"
            " 00:00:00 UTC; agent a could not start it: no disk",
        ),
        (
            declined("b", "a"),
            [agent(), agent(), agent(draining=True)],
            "nobody takes it: all 2 agents of target pool that could execute it declined, and are asked again at"
            " 00:00:00 UTC; agent a could not start it: no disk",
        ),
        (
            declined("a", gpus=2),
            [agent(), agent(gpus=1)],
            "nobody takes it: the only agent of target pool that could execute it declined, and is asked again at"
            " 00:00:00 UTC; agent a could not start it: no disk",
        ),
        (
            declined("a"),
            [agent(), agent(used_slots=4)],
            "waits for its turn; agent a could not start it: no disk",
        ),
    ],
)
async def test_a_job_that_all_decline_says_so_and_why(
    postgres: Postgres, waiting: Job, agents: list[Connected], told: str
) -> None:
    await connect(postgres, agents)

    assert await reason(postgres, waiting, 0) == told


async def test_every_agent_of_a_large_pool_counts(postgres: Postgres) -> None:
    await postgres.execute(
        """
        INSERT INTO jobs.agent (workspace, compute_target, agent, host, labels, slots, gpus, draining, connected, epoch,
                                last_seen_time)
        SELECT 'space', 'pool', n::text, '', '{}', 1, 0, false, true, 1, now() FROM generate_series(1, 10000) n
        """
    )
    await connect(postgres, [agent(labels={"gpu": "a100"})])

    assert await reason(postgres, job(labels={"gpu": "a100"}), 0) == "waits for its turn"
    room = await PoolStore(postgres).room(POOL, timedelta(minutes=1))
    assert room == PoolRoom(agents=10_001, slots=10_004, free_slots=10_004)


async def test_of_a_long_queue_only_so_many_jobs_are_counted(postgres: Postgres) -> None:
    await postgres.execute(
        """
        INSERT INTO jobs.job (workspace, run, compute_target, kind, request_id, definition, state, priority, slots,
                              gpus, labels, max_attempts, create_time, state_time)
        SELECT 'space', n::text, 'pool', 'agent_pool', gen_random_uuid(), '', 'queued', 1, 1, 0, '{}', 1, now(), now()
          FROM generate_series(1, 20) n
        """
    )

    assert [await JobStore(postgres).count_ahead(job(), most) for most in (10, 100)] == [10, 20]
