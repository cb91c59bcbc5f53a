"""Starts runners for offered jobs."""

from collections.abc import Sequence

from runstream._agent.gpus import gpu_environment
from runstream._agent.roster import Start
from runstream._runner.start import start_runner
from runstream.api.jobs.v1.agent_pb2 import JobOffer


def runner_starter(address: str, *, has_gpus: bool) -> Start:
    """Starts runners for the services at `address`; on a machine with GPUs each job sees those that it has.

    The token of the agent is that of whoever runs it: runners come with that of the offer, and no job sees another one.
    """

    def start(offer: JobOffer, gpus: Sequence[str]) -> int:
        variables = gpu_environment(gpus) if has_gpus else {}
        token = offer.run_token.secret
        return start_runner(offer.job.run, address, lease=offer.lease, variables=variables, token=token)

    return start
