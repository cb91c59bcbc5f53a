"""What goes wrong: drawn from a seed, and noted on the clock of the histories."""

import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from tests.chaos.database import PostgresProcess
from tests.postgres_proxy import Cut, PostgresProxy
from tests.server_process import ServerProcess

Faults: TypeAlias = Mapping[str, Callable[[], Awaitable[None]]]
"""What can be done, by name. Each returns when everything that was ended runs again."""


class Nemesis:
    """Does what a seed tells it to do, and notes it in a diary."""

    def __init__(self, faults: Faults, choice: random.Random, diary: Path) -> None:
        self._faults = faults
        self._choice = choice
        self._diary = diary
        self._names: list[str] = []

    async def run(self, count: int, due: Callable[[int], Awaitable[None]]) -> None:
        """Does so many faults, each kind once before any comes again; `due` returns when one has its moment."""
        for number in range(count):
            await due(number)
            self._names = self._names or self._choice.sample(sorted(self._faults), len(self._faults))
            await self._do(self._names.pop())

    async def _do(self, name: str) -> None:
        with self._diary.open("a") as diary:
            diary.write(f"{time.monotonic_ns()} {name}\n")
            try:
                await self._faults[name]()
            except BaseException as error:
                diary.write(f"{time.monotonic_ns()} {name} failed: {error!r}\n")
                raise
            diary.write(f"{time.monotonic_ns()} {name} is over\n")


def server_faults(server: ServerProcess) -> Faults:
    """What can happen to a server."""

    async def kill() -> None:
        await server.kill()
        await server.start()

    async def stop() -> None:
        assert await server.stop() == 0
        await server.start()

    return {"kill the server": kill, "stop the server": stop}


def postgres_faults(postgres: PostgresProcess, choice: random.Random) -> Faults:
    """What can happen to Postgres."""

    def ending(number: signal.Signals) -> Callable[[], Awaitable[None]]:
        async def end() -> None:
            await postgres.end(number)
            await postgres.start()

        return end

    async def kill_backend() -> None:
        postgres.kill_backend(choice)

    return {
        "kill the postmaster": ending(signal.SIGKILL),
        "stop Postgres immediately": ending(signal.SIGQUIT),
        "kill a backend of Postgres": kill_backend,
    }


def cut_faults(proxy: PostgresProxy, copied: str = '"metrics"."chunk"') -> Faults:
    """What can happen to the connection over which rows are copied to a table, at each moment of a transaction."""

    def cutting(cut: Cut) -> Callable[[], Awaitable[None]]:
        async def wait() -> None:
            proxy.cut(cut, after=f"COPY {copied}")
            await proxy.has_cut()

        return wait

    return {f"cut {cut.name.lower().replace('_', ' ')}": cutting(cut) for cut in Cut}


def both_faults(server: ServerProcess, postgres: PostgresProcess) -> Faults:
    """What can happen to both at once."""

    async def kill_both() -> None:
        await server.kill()
        await postgres.end(signal.SIGKILL)
        await postgres.start()
        await server.start()

    async def kill_server_while_postgres_is_away() -> None:
        await postgres.end(signal.SIGKILL)
        await server.kill()
        await postgres.start()
        await server.start()

    return {
        "kill the server and then Postgres": kill_both,
        "kill Postgres and then the server": kill_server_while_postgres_is_away,
    }
