"""Keeps the registries of workspaces apart that have the same name one after the other."""

from collections import OrderedDict
from datetime import datetime

from runstream_server.postgres import Postgres

_MOST_REMEMBERED = 10_000

_BEGIN = "INSERT INTO gateway.registry (workspace, create_time) VALUES ($1, $2) ON CONFLICT DO NOTHING"

_BEGIN_ANEW = """
UPDATE gateway.registry SET create_time = $2 WHERE workspace = $1 AND create_time < $2 RETURNING workspace
"""

_CLEAR = (
    "DELETE FROM gateway.registered_model WHERE workspace = $1",
    "DELETE FROM gateway.registered_model_count WHERE workspace = $1",
)


class RegistryStore:
    """Knows which workspace the registry of a name is that of."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._known: OrderedDict[str, datetime] = OrderedDict()

    async def enter(self, workspace: str, create_time: datetime) -> None:
        """Clears away what is there of an earlier workspace of this name; costs nothing once that is known."""
        if self._known.get(workspace) == create_time:
            return
        async with self._postgres.transaction() as transaction:
            await transaction.execute(_BEGIN, workspace, create_time)
            if await transaction.fetchval(_BEGIN_ANEW, workspace, create_time) is not None:
                for statement in _CLEAR:
                    await transaction.execute(statement, workspace)
        self._known[workspace] = create_time
        while len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
