"""What a runner tells of a run besides its status."""

import contextlib
import socket
from collections.abc import Sequence
from typing import Final

from runstream._channel import Connection
from runstream._runner.finish import INFO_FILE, STATUS_FILE, of_attempt, store_document
from runstream._runner.members import Told, infos
from runstream._runner.nodes import this_node
from runstream.api.runs.v1 import run_history_service_pb2 as runs_api
from runstream.api.runs.v1.run_pb2 import RunWarning
from runstream.exceptions import AzureMLException

SOURCE: Final = "runner"


async def tell_processes(connection: Connection, run: str, members: Sequence[Told], attempt: int) -> None:
    """Stores who the processes are, and where that can be read."""
    document, node = infos(members, socket.gethostname()), this_node()
    await store_document(connection, run, of_attempt(INFO_FILE, attempt, node.index), document)
    if attempt == 1 and node.is_first:
        properties = {"ProcessInfoFile": INFO_FILE, "ProcessStatusFile": STATUS_FILE}
        request = runs_api.AddPropertiesRequest(name=run, properties=properties)
        with contextlib.suppress(AzureMLException):
            await connection.call(connection.runs.AddProperties, request)


async def warn(connection: Connection, run: str, text: str) -> None:
    """Adds a warning to the run; where that fails, nothing happens."""
    request = runs_api.AddWarningsRequest(name=run, warnings=[RunWarning(source=SOURCE, message=text)])
    with contextlib.suppress(AzureMLException):
        await connection.call(connection.runs.AddWarnings, request)
