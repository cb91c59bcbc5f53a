"""The agent as a program: in the foreground, with a line for each event, until it is told to end."""

import asyncio
import logging
import signal
from dataclasses import dataclass, field
from typing import Final

from runstream._agent.conversation import Conversation
from runstream._agent.ledger import Ledger, agent_folder
from runstream._agent.roster import Roster, Start
from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream._channel.threads import in_thread
from runstream._runner.recovery import resume_lost_jobs
from runstream.api.jobs.v1.agent_pb2 import Agent

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

logger = logging.getLogger("runstream.agent")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What an agent offers."""

    address: str
    """Of the services, `host:port`."""

    name: str
    """The resource name of the agent."""

    host: str
    slots: int
    gpus: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


async def run_agent(offer: Offer, start: Start) -> None:
    """Runs an agent until SIGTERM or Ctrl-C, and until then its jobs have ended; a second signal stops them.

    Raises:
        AgentRuns: Another agent of the name runs on this machine.
        AzureMLException: The service does not want this agent.
    """
    ledger = Ledger(agent_folder(offer.address, offer.name))
    roster = Roster(ledger, start, offer.gpus)
    try:
        roster.adopt(await in_thread(resume_lost_jobs))
        conversation = Conversation(lambda: Connection.to(offer.address), _introduction(offer), roster)
        await _until_drained(conversation, roster)
    finally:
        await roster.close()
        ledger.close()
        await close_connections()
    logger.info("ended")


async def _until_drained(conversation: Conversation, roster: Roster) -> None:
    drained = asyncio.Event()

    def on_signal() -> None:
        if drained.is_set():
            logger.warning("stopping %d jobs", len(roster.held))
            roster.stop_all()
        else:
            logger.info("taking no more jobs; ends when %d have ended, a second signal stops them", len(roster.held))
            conversation.drain()
            drained.set()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    speaking = asyncio.create_task(conversation.run(), name="conversation")
    ending = asyncio.create_task(_ended(drained, roster), name="ending")
    try:
        await asyncio.wait({speaking, ending}, return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            await speaking
    finally:
        for task in (speaking, ending):
            task.cancel()
        await asyncio.gather(speaking, ending, return_exceptions=True)
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _ended(drained: asyncio.Event, roster: Roster) -> None:
    await drained.wait()
    await roster.empty()


def _introduction(offer: Offer) -> Agent:
    return Agent(name=offer.name, host=offer.host, labels=offer.labels, slots=offer.slots, gpus=len(offer.gpus))
