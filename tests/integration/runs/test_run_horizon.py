"""Transactions that do not end: those of other databases delay no watcher, and those of this one are told about."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from runstream_server.postgres import Hints, Postgres
from runstream_server.runs.rules.feed import Feeds
from runstream_server.runs.store.changes import ChangeStore, Watched
from runstream_server.runs.store.horizon import Horizon
from tests.conditions import Told, hearing

SECONDS = 20
WARNING = "watchers wait for a transaction that stays open; end it, or bound idle_in_transaction_session_timeout"
TEAM = Watched("team", (), None, {})


@asynccontextmanager
async def open_transaction(dsn: str) -> AsyncIterator[int]:
    """A transaction that wrote something and goes on; the process that has it."""
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "somebody"})
    try:
        await connection.execute("BEGIN")
        await connection.execute("SELECT pg_current_xact_id()")
        yield connection.get_server_pid()
    finally:
        await connection.close()


async def tag(history: Any, value: str) -> None:
    await history.rules.runs.modify_tags("team", "a", {"turn": value}, [])


@pytest.fixture
async def run(history: Any, digits: str) -> None:
    """A run `a` of the workspace `team`."""
    await history.make_runs(history.new_run("a", experiment=digits))


@pytest.mark.usefixtures("run")
async def test_a_transaction_of_another_database_delays_no_watcher(history: Any, postgres_server: str) -> None:
    async with open_transaction(postgres_server), asyncio.TaskGroup() as tasks:
        feeds = Feeds(ChangeStore(history.postgres), Hints(), history.draining, tasks)
        with feeds.subscribe("team", ()) as subscription:
            await subscription.wait(SECONDS)
            await tag(history, "1")
            assert await subscription.wait(SECONDS)
        feeds.stop()


@pytest.mark.usefixtures("run")
async def test_a_transaction_of_this_database_is_waited_for_and_told_about(history: Any, postgres_dsn: str) -> None:
    with hearing("runstream_server.runs.rules.patience") as patience:
        warning, pid = await wait_in_vain(history, postgres_dsn, patience)

    assert (warning["pid"], warning["application"], warning["workspace"]) == (pid, "somebody", "team")
    assert warning["open_seconds"] >= warning["held_back_seconds"] >= 0.5
    assert (REGISTRY.get_sample_value("runstream_runs_watch_held_back_seconds_total") or 0) > 0


async def wait_in_vain(history: Any, dsn: str, patience: Told) -> tuple[Mapping[str, Any], int]:
    """Changes a run behind an open transaction; what is said about it, and the process that has it."""
    async with asyncio.TaskGroup() as tasks:
        feeds = Feeds(ChangeStore(history.postgres), Hints(), history.draining, tasks, warn_seconds=0.5)
        with feeds.subscribe("team", ()) as subscription:
            await subscription.wait(SECONDS)
            async with open_transaction(dsn) as pid:
                await tag(history, "1")
                warning = await patience.event(WARNING)
                assert not await subscription.wait(0)
            assert await subscription.wait(SECONDS)
        feeds.stop()
    return warning, pid


@pytest.mark.usefixtures("run")
async def test_what_is_final_for_one_replica_is_not_told_again_by_another(history: Any, postgres_server: str) -> None:
    store, other = ChangeStore(history.postgres), ChangeStore(history.postgres)
    async with open_transaction(postgres_server):
        begin, _ = await store.horizon()
        await tag(history, "1")
        assert (await store.changes(TEAM, begin, history.clock())).changes == []
        await store.known.advance()
        first = await store.changes(TEAM, begin, history.clock())
        again = await other.changes(TEAM, first.position, history.clock())
        await tag(history, "2")
        behind = await other.changes(TEAM, again.position, history.clock())
        await other.known.advance()
        second = await other.changes(TEAM, behind.position, history.clock())

    assert [change.run.run for change in first.changes] == ["a"]
    assert (again.changes, behind.changes) == ([], [])
    assert first.position <= again.position <= behind.position < second.position
    assert [change.run.tags for change in second.changes] == [{"turn": "2"}]


async def test_the_horizon_stops_at_the_oldest_transaction_of_this_database(
    postgres: Postgres, postgres_dsn: str
) -> None:
    horizon = Horizon(postgres)
    async with open_transaction(postgres_dsn) as pid:
        await horizon.advance()
        stopped = horizon.xid
        await postgres.execute("SELECT pg_current_xact_id()")
        await horizon.advance()
        oldest = await horizon.oldest()
        assert horizon.xid == stopped
    assert oldest is not None
    assert (oldest.pid, oldest.application) == (pid, "somebody")

    async with asyncio.timeout(SECONDS):
        while horizon.xid == stopped:  # the end of a connection takes a moment
            await horizon.advance()
