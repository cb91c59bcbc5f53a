"""Why a job waits, in words for people."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from runstream_server.jobs.model import Agent, AgentFacts, Job, JobState, Requirements, TargetKind
from runstream_server.jobs.rules.waiting import reason_to_wait
from runstream_server.names import ComputeTargetName, RunName

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


def agent(used_slots: int = 0, used_gpus: int = 0, **of_agent: Any) -> Agent:
    fields: dict[str, Any] = {"agent": "a", "labels": {}, "slots": 4, "gpus": 4, "draining": False} | of_agent
    facts = AgentFacts(target=POOL, host="", **fields)
    return Agent(facts, connected=True, last_seen_time=NOW, used_slots=used_slots, used_gpus=used_gpus)


BUSY = agent(used_slots=3, used_gpus=3)


@pytest.mark.parametrize(
    ("waiting", "agents", "ahead", "reason"),
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
        (job("agent a had no disk"), [BUSY], 0, "waits for its turn; agent a had no disk"),
    ],
)  # fmt: skip
def test_a_job_says_what_it_waits_for(waiting: Job, agents: list[Agent], ahead: int, reason: str) -> None:
    assert reason_to_wait(waiting, agents, ahead) == reason


def declined(*names: str, **needs: Any) -> Job:
    reason = f"agent {names[-1]} could not start it: no disk"
    return replace(job(reason, **needs), declined_by=frozenset(names), ask_again_time=NOW)


@pytest.mark.parametrize(
    ("waiting", "agents", "reason"),
    [
        (
            declined("a"),
            [agent()],
            "nobody takes it: the only agent of target pool that could execute it declined, and is asked again at"
            " 00:00:00 UTC; agent a could not start it: no disk",
        ),
        (
            declined("b", "a"),
            [agent(), agent(agent="b"), agent(agent="c", draining=True)],
            "nobody takes it: all 2 agents of target pool that could execute it declined, and are asked again at"
            " 00:00:00 UTC; agent a could not start it: no disk",
        ),
        (
            declined("a", gpus=2),
            [agent(), agent(agent="b", gpus=1)],
            "nobody takes it: the only agent of target pool that could execute it declined, and is asked again at"
            " 00:00:00 UTC; agent a could not start it: no disk",
        ),
        (
            declined("a"),
            [agent(), agent(agent="b", used_slots=4)],
            "waits for its turn; agent a could not start it: no disk",
        ),
    ],
)
def test_a_job_that_all_decline_says_so_and_why(waiting: Job, agents: list[Agent], reason: str) -> None:
    assert reason_to_wait(waiting, agents, 0) == reason
