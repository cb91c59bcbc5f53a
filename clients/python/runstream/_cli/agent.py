"""The commands of `runstream agent`."""

import asyncio
import logging
import os
import platform
import re
import signal
from collections.abc import Sequence
from typing import Any

import click

from runstream._cli.commands import Group
from runstream._cli.documents import Document, last_part, time_of
from runstream._cli.moments import ago
from runstream._cli.session import Session, pass_session
from runstream._cli.tables import Column, listing
from runstream.api.jobs.v1.agent_pb2 import Agent
from runstream.api.jobs.v1.job_service_pb2 import ListAgentsRequest

LINE = "%(asctime)s %(levelname)s %(message)s"
START_EXAMPLES = """\
\b
Examples:
  runstream agent start --target gpu-pool
  runstream agent start --target gpu-pool --slots 4 --label gpu=a100
"""


@click.group(cls=Group)
def agent() -> None:
    """Offer this machine to a compute target; look at agents."""


def target_option(command: Any) -> Any:
    """The option that says which compute target."""
    return click.option("--target", required=True, metavar="NAME", help="The compute target.")(command)


def name_option(command: Any) -> Any:
    """The option that says which agent of this machine."""
    return click.option("--name", metavar="NAME", help="The name of the agent. Default: that of the machine.")(command)


@agent.command(epilog=START_EXAMPLES)
@target_option
@name_option
@click.option("--slots", type=click.IntRange(1, 10_000), metavar="N", help="How many jobs at once. Default: 1.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="What jobs may ask for. May be repeated.")
@pass_session
def start(session: Session, target: str, name: str | None, slots: int | None, label: Sequence[str]) -> None:
    """Execute jobs of a compute target on this machine.

    The agent stays in the foreground. Ctrl-C or SIGTERM has it take no more jobs, and end when those have ended that it
    executes; a second signal stops them. When it is killed they go on, and belong to the next agent of its name. GPUs
    are those that CUDA_VISIBLE_DEVICES lists, else all that nvidia-smi tells; each job sees only its own.
    """
    from runstream._agent.gpus import find_gpus
    from runstream._agent.ledger import AgentRuns
    from runstream._agent.program import Offer, run_agent
    from runstream._agent.start import runner_starter

    gpus, labels = find_gpus(), _labels(label)
    _log_lines(session)
    offer = Offer(
        address=session.place.address,
        name=_agent_name(session, target, name),
        host=platform.node(),
        slots=slots or 1,
        gpus=gpus,
        labels=labels,
    )
    try:
        asyncio.run(run_agent(offer, runner_starter(session.place.address, has_gpus=bool(gpus))))
    except AgentRuns:
        raise click.ClickException(
            f"Agent {last_part(offer.name)} runs on this machine; choose another --name."
        ) from None


@agent.command(epilog="Example: runstream agent drain --target gpu-pool")
@target_option
@name_option
@pass_session
def drain(session: Session, target: str, name: str | None) -> None:
    """Have an agent of this machine end after its jobs.

    It takes no more of them. The second time it stops those that it executes.
    """
    from runstream._agent.ledger import agent_folder, agent_pid

    full_name = _agent_name(session, target, name)
    pid = agent_pid(agent_folder(session.place.address, full_name))
    if not pid:
        raise click.ClickException(f"No agent {last_part(full_name)} of {target} runs on this machine.")
    os.kill(pid, signal.SIGTERM)
    session.say(f"Agent {last_part(full_name)} (process {pid}) takes no more jobs, and ends after those that it has.")


@agent.command("list", epilog="Example: runstream agent list --target gpu-pool -o table")
@target_option
@pass_session
def list_(session: Session, target: str) -> None:
    """List the agents of a compute target.

    Those not heard of for a week are left out.
    """
    request = ListAgentsRequest(parent=f"{session.workspace}/computeTargets/{target}", page_size=1000)
    pages = session.services.pages(lambda c: c.jobs.ListAgents, request)
    found = [agent_document(each) for page in pages for each in page.agents]
    if not found:
        session.say(f"Compute target {target} has no agents; `runstream agent start --target {target}` starts one.")
    session.show(found, agents_table())


def agent_document(agent: Agent) -> Document:
    """An agent."""
    return {
        "name": last_part(agent.name),
        "host": agent.host,
        "connected": agent.connected,
        "draining": agent.draining,
        "slots": agent.slots,
        "gpus": agent.gpus,
        "labels": dict(sorted(agent.labels.items())),
        "runs": [last_part(run) for run in agent.runs],
        "last_seen_utc": time_of(agent, "last_seen_time"),
    }


def agents_table() -> Any:
    """Agents, one per line."""
    return listing(
        Column("Agent", lambda each: each["name"]),
        Column("Host", lambda each: each["host"], rank=3, can_be_cut=True),
        Column("State", _state),
        Column("Slots", lambda each: each["slots"], is_number=True),
        Column("GPUs", lambda each: each["gpus"], rank=1, is_number=True),
        Column("Runs", lambda each: len(each["runs"]), is_number=True),
        Column("Seen", lambda each: ago(each["last_seen_utc"]), rank=2),
        Column(
            "Labels", lambda each: ", ".join(f"{k}={v}" for k, v in each["labels"].items()), rank=4, can_be_cut=True
        ),
    )


def _state(agent: Document) -> str:
    if not agent["connected"]:
        return "away"
    return "draining" if agent["draining"] else "connected"


def _agent_name(session: Session, target: str, name: str | None) -> str:
    chosen = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", platform.node()).lstrip("-.") or "agent"
    return f"{session.workspace}/computeTargets/{target}/agents/{chosen}"


def _labels(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    for each, (key, sign, _) in zip(given, pairs, strict=True):
        if not key or not sign:
            raise click.UsageError(f"A label is KEY=VALUE, not {each!r}.")
    return {key: value for key, _, value in pairs}


def _log_lines(session: Session) -> None:
    """Has the agent say each event in a line of its own on stderr, with the time."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LINE))
    logger = logging.getLogger("runstream")
    logger.handlers = [handler]
    if not (session.settings.only_show_errors or session.settings.debug):
        logger.setLevel(logging.INFO)
