"""Agents between messages and the words of jobs."""

from collections.abc import Sequence
from datetime import timedelta

from runstream.api.jobs.v1 import agent_pb2 as messages
from runstream_server.auth import RunToken
from runstream_server.errors import InvalidField
from runstream_server.jobs import limits
from runstream_server.jobs.convert.jobs import encode_job, encode_run_token
from runstream_server.jobs.convert.times import encode_duration, encode_time
from runstream_server.jobs.limits import Checks
from runstream_server.jobs.model import Agent, AgentFacts, HeldJob, Job
from runstream_server.names import AgentName, RunName


def decode_hello(hello: messages.AgentHello) -> tuple[AgentFacts, Sequence[HeldJob]]:
    """An agent that introduces itself, and the jobs whose runners it has."""
    name, agent, checks = AgentName.parse(hello.agent.name, "hello.agent.name"), hello.agent, Checks()
    facts = AgentFacts(
        target=name.target,
        agent=name.agent,
        host=checks.text("hello.agent.host", agent.host, limits.HOST),
        labels=checks.labels("hello.agent.labels", agent.labels),
        slots=checks.number("hello.agent.slots", agent.slots, 1, limits.SLOTS),
        gpus=checks.number("hello.agent.gpus", agent.gpus, 0, limits.GPUS),
        draining=agent.draining,
    )
    checks.done()
    return facts, decode_held_jobs(hello.held, "hello.held", facts.target.workspace)


def decode_held_jobs(held: Sequence[messages.HeldJob], field: str, workspace: str) -> Sequence[HeldJob]:
    """Jobs whose runners an agent has."""
    if len(held) > limits.HELD_JOBS:
        raise InvalidField(field, f"up to {limits.HELD_JOBS}; got {len(held)}")
    return [decode_held_job(each, f"{field}[{index}]", workspace) for index, each in enumerate(held)]


def decode_held_job(held: messages.HeldJob, field: str, workspace: str) -> HeldJob:
    """A job of which an agent believes to be the holder."""
    name = RunName.parse(held.run, f"{field}.run")
    if name.workspace != workspace:
        raise InvalidField(f"{field}.run", f"{name} is not of workspaces/{workspace}")
    return HeldJob(name, held.lease)


def decode_declined(declined: messages.JobDeclined, workspace: str) -> tuple[HeldJob, str]:
    """An offered job that was not started, and why."""
    checks = Checks()
    reason = checks.text("declined.reason", declined.reason, limits.DECLINE_REASON)
    checks.done()
    return decode_held_job(declined.job, "declined.job", workspace), reason


def encode_welcome(report_time: timedelta) -> messages.ConnectAgentResponse:
    """Greets an agent."""
    welcome = messages.AgentWelcome(report_interval=encode_duration(report_time))
    return messages.ConnectAgentResponse(welcome=welcome)


def encode_offer(job: Job, token: RunToken | None) -> messages.ConnectAgentResponse:
    """Offers a job, with what its runner claims it by."""
    offer = messages.JobOffer(job=encode_job(job), lease=job.lease, run_token=encode_run_token(token))
    return messages.ConnectAgentResponse(offer=offer)


def encode_revoked(held: HeldJob, reason: str) -> messages.ConnectAgentResponse:
    """Takes a job away."""
    job = messages.HeldJob(run=str(held.name), lease=held.lease)
    return messages.ConnectAgentResponse(revoked=messages.JobRevoked(job=job, reason=reason))


def encode_draining() -> messages.ConnectAgentResponse:
    """Says that the server goes away."""
    return messages.ConnectAgentResponse(draining=messages.AgentDraining())


def encode_agent(agent: Agent) -> messages.Agent:
    """Makes the message of an agent."""
    facts = agent.facts
    return messages.Agent(
        name=str(AgentName(facts.target, facts.agent)),
        host=facts.host,
        labels=facts.labels,
        slots=facts.slots,
        gpus=facts.gpus,
        draining=facts.draining,
        connected=agent.connected,
        runs=[str(RunName(facts.target.workspace, run)) for run in agent.runs],
        last_seen_time=encode_time(agent.last_seen_time),
    )
