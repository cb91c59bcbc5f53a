"""Between rows and the words of jobs."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from asyncpg import Record

from runstream_server.jobs.model import (
    AgentPool,
    ComputeTarget,
    Configuration,
    Job,
    JobState,
    KubernetesNamespace,
    Requirements,
    TargetKind,
    Verdict,
)
from runstream_server.names import ComputeTargetName, RunName

ASK_AGAIN_TIME = """
(declined_time + least(
    interval '30 s' * power(2, least(greatest(declines / greatest(cardinality(declined_by), 1), 1) - 1, 9)),
    interval '10 min'))
"""
"""When agents that declined a job are asked again: others go first. Later each time that all of them have declined."""

JOB = f"""
j.workspace, j.run, j.compute_target, j.kind, j.request_id, j.sequence, j.definition, j.submission, j.verdict, j.state,
j.priority, j.slots, j.gpus, j.labels, j.max_attempts, j.attempt, j.lease, j.agent, j.holder, j.decline_reason,
j.declined_by, {ASK_AGAIN_TIME} AS ask_again_time, j.create_time
"""

TARGET = "workspace, compute_target, kind, description, configuration, create_time"


def job_of(row: Record) -> Job:
    """A job, from a row with the columns `JOB`."""
    return Job(
        name=RunName(row["workspace"], row["run"]),
        target=ComputeTargetName(row["workspace"], row["compute_target"]),
        kind=TargetKind(row["kind"]),
        request_id=row["request_id"],
        state=JobState(row["state"]),
        definition=row["definition"],
        requirements=Requirements(row["slots"], row["gpus"], row["labels"]),
        priority=row["priority"],
        max_attempts=row["max_attempts"],
        attempt=row["attempt"],
        lease=row["lease"],
        agent=row["agent"],
        runner=row["holder"],
        sequence=row["sequence"],
        create_time=row["create_time"],
        decline_reason=row["decline_reason"],
        declined_by=frozenset(row["declined_by"]),
        ask_again_time=row["ask_again_time"],
        submission=row["submission"],
        verdict=_verdict(row["verdict"]),
    )


def verdict_json(verdict: Verdict | None) -> dict[str, Any] | None:
    """A verdict, as it is stored."""
    if verdict is None:
        return None
    return asdict(verdict) | {"time": verdict.time.isoformat() if verdict.time else None}


def _verdict(stored: dict[str, Any] | None) -> Verdict | None:
    if stored is None:
        return None
    time = stored["time"]
    return Verdict(**stored | {"time": datetime.fromisoformat(time) if time else None})


def target_of(row: Record) -> ComputeTarget:
    """A compute target, from a row with the columns `TARGET`."""
    kind = TargetKind(row["kind"])
    return ComputeTarget(
        name=ComputeTargetName(row["workspace"], row["compute_target"]),
        kind=kind,
        description=row["description"],
        configuration=_configuration(kind, row["configuration"]),
        create_time=row["create_time"],
    )


def configuration_json(configuration: Configuration) -> dict[str, Any]:
    """A configuration, as it is stored: durations in seconds."""
    fields = asdict(configuration) if configuration is not None else {}
    return {key: value.total_seconds() if isinstance(value, timedelta) else value for key, value in fields.items()}


def _configuration(kind: TargetKind, stored: dict[str, Any]) -> Configuration:
    if kind is TargetKind.AGENT_POOL:
        return AgentPool(**stored | {"lost_after": timedelta(seconds=stored["lost_after"])})
    return KubernetesNamespace(**stored | {"keep_finished": timedelta(seconds=stored["keep_finished"])})
