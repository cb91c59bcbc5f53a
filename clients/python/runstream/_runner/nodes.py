"""Which of the machines of a job this one is."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runstream._runner.failures import JobFailed

INDEX_VARIABLE: Final = "RUNSTREAM_NODE_INDEX"
COUNT_VARIABLE: Final = "RUNSTREAM_NODE_COUNT"
ADDRESS_VARIABLE: Final = "RUNSTREAM_MASTER_ADDR"
PORT_VARIABLE: Final = "RUNSTREAM_MASTER_PORT"
NODE_VARIABLES: Final = (INDEX_VARIABLE, COUNT_VARIABLE, ADDRESS_VARIABLE, PORT_VARIABLE)
DEFAULT_PORT: Final = 29500
"""Where the processes of several nodes meet, on the first one."""
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Node:
    """One of the machines that execute a job together."""

    index: int = 0
    """From 0; the first one has the job, the others follow its run."""
    count: int = 1
    master_address: str = LOOPBACK
    """Where the others find the first one."""
    master_port: int = 0
    """0: any that is free."""

    @property
    def is_first(self) -> bool:
        """Whether it has the job."""
        return self.index == 0


def this_node(environment: Mapping[str, str] = os.environ) -> Node:
    """The node that the variables of this process speak of; the only one where there are none.

    Raises:
        JobFailed: They make no sense.
    """
    if not environment.get(COUNT_VARIABLE):
        return Node()
    try:
        count, index = int(environment[COUNT_VARIABLE]), int(environment.get(INDEX_VARIABLE, "0"))
        port = int(environment.get(PORT_VARIABLE) or DEFAULT_PORT)
    except ValueError:
        raise JobFailed(
            "EnvironmentError", f"{INDEX_VARIABLE}, {COUNT_VARIABLE} and {PORT_VARIABLE} are numbers."
        ) from None
    address = environment.get(ADDRESS_VARIABLE, "" if count > 1 else LOOPBACK)
    if not 0 <= index < count or not address:
        raise JobFailed(
            "EnvironmentError", f"{INDEX_VARIABLE} is below {COUNT_VARIABLE}, and {ADDRESS_VARIABLE} a host."
        )
    return Node(index, count, address, port if count > 1 else 0)


def free_ports(count: int) -> list[int]:
    """Different ports of this machine that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
