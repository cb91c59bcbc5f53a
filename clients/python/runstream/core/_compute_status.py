"""How a compute target stands."""

from collections.abc import Sequence
from typing import Any

from runstream.api.jobs.v1 import agent_pb2
from runstream.api.jobs.v1 import job_service_pb2 as api


class ComputeTargetStatus:
    """How a compute target stood when it was asked for. Nodes are the agents that are connected."""

    def __init__(self, record: api.ComputeTarget, agents: Sequence[agent_pb2.Agent]) -> None:
        self._record = record
        self._agents = [agent for agent in agents if agent.connected]

    @property
    def provisioning_state(self) -> str:
        """Always `Succeeded`: a compute target is there as soon as it is made."""
        return "Succeeded"

    @property
    def allocation_state(self) -> str:
        """Always `Steady`: nobody starts or stops machines."""
        return "Steady"

    @property
    def message(self) -> str:
        """How it stands, for people."""
        return self._record.status_message

    @property
    def errors(self) -> None:
        """None: making a compute target cannot fail later."""
        return

    @property
    def current_node_count(self) -> int:
        """How many agents are connected."""
        return len(self._agents)

    @property
    def target_node_count(self) -> int:
        """How many machines there should be at most, as people noted it."""
        return self._record.agent_pool.max_nodes

    @property
    def node_state_counts(self) -> dict[str, int]:
        """How many agents execute runs, wait for runs, or take no more."""
        leaving = sum(agent.draining for agent in self._agents)
        running = sum(bool(agent.runs) and not agent.draining for agent in self._agents)
        return {"running": running, "idle": len(self._agents) - running - leaving, "leaving": leaving}

    def serialize(self) -> dict[str, Any]:
        """All of it."""
        counts = self.node_state_counts
        return {
            "provisioningState": self.provisioning_state,
            "allocationState": self.allocation_state,
            "message": self.message,
            "errors": self.errors,
            "currentNodeCount": self.current_node_count,
            "targetNodeCount": self.target_node_count,
            "nodeStateCounts": {f"{state}NodeCount": count for state, count in counts.items()},
        }

    def __str__(self) -> str:
        return self.provisioning_state

    def __repr__(self) -> str:
        return f"ComputeTargetStatus({self.serialize()})"
