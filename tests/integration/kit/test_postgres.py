"""Migrations, hints and the pool against a real Postgres."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from runstream_server.config import PostgresConfig
from runstream_server.errors import ConfigurationError, DatabaseUnavailable, LockTimedOut
from runstream_server.postgres import Postgres, listening, migrate, open_postgres
from tests.conditions import SECONDS
from tests.postgres_proxy import Cut, postgres_proxy

MADE = "CREATE SCHEMA things; CREATE TABLE things.thing (id integer PRIMARY KEY)"
LARGE = 1024 * 1024


async def test_migrations_are_applied_once_even_by_two_processes_at_once(postgres_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "0001_make_things.sql").write_text(MADE)

    counts = await asyncio.gather(*(migrate(postgres_dsn, {"things": tmp_path}) for _ in range(3)))

    assert sorted(counts) == [0, 0, 1]


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(postgres_dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "0001_make_things.sql"
    file.write_text(MADE)
    await migrate(postgres_dsn, {"things": tmp_path})
    file.write_text(MADE + ";")

    with pytest.raises(ConfigurationError, match="things migration 0001"):
        await migrate(postgres_dsn, {"things": tmp_path})


async def test_a_migration_that_fails_leaves_nothing_behind(
    postgres_dsn: str, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "0001_make_things.sql").write_text(MADE)
    (tmp_path / "0002_break.sql").write_text("CREATE TABLE things.other (id integer); SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(postgres_dsn, {"things": tmp_path})

    assert await postgres.fetchval("SELECT to_regclass('things.thing') IS NOT NULL")
    assert await postgres.fetchval("SELECT to_regclass('things.other') IS NULL")


async def test_a_migration_can_run_outside_of_a_transaction(
    postgres_dsn: str, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "0001_make_things.sql").write_text(MADE)
    (tmp_path / "0002_index.sql").write_text(
        "-- no-transaction\nCREATE INDEX CONCURRENTLY thing_id ON things.thing (id)"
    )

    assert await migrate(postgres_dsn, {"things": tmp_path}) == 2
    assert await postgres.fetchval("SELECT to_regclass('things.thing_id') IS NOT NULL")


async def test_a_wrongly_named_migration_is_refused(postgres_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "make_things.sql").write_text(MADE)

    with pytest.raises(ConfigurationError, match="NNNN"):
        await migrate(postgres_dsn, {"things": tmp_path})


async def test_a_hint_wakes_the_readers_of_its_key_and_no_others(postgres_dsn: str, postgres: Postgres) -> None:
    async with listening(postgres_dsn, postgres) as hints:
        with hints.subscribe("runs", ["a"]) as mine, hints.subscribe("runs", ["b"]) as other:
            while await mine.wait(0.5):
                """Connecting wakes everybody once."""
            await other.wait(0)
            hints.publish("runs", ["a"])

            assert await mine.wait(10)
            assert not await other.wait(0)


async def test_a_hint_reaches_other_processes(postgres_dsn: str, postgres: Postgres) -> None:
    async with listening(postgres_dsn, postgres) as here, listening(postgres_dsn, postgres) as there:
        with there.subscribe("runs", ["ключ 1"]) as one, there.subscribe("runs", None) as every:
            while await one.wait(0.5):
                """Connecting wakes everybody once."""
            await every.wait(0)
            here.publish("runs", ["ключ 1"])

            assert await one.wait(10)
            assert await every.wait(10)


async def test_more_keys_than_one_notification_carries_all_arrive(postgres_dsn: str, postgres: Postgres) -> None:
    keys = [f"run-{number:0>200}" for number in range(300)]
    async with listening(postgres_dsn, postgres) as here, listening(postgres_dsn, postgres) as there:
        with there.subscribe("runs", keys[:1]) as first, there.subscribe("runs", keys[-1:]) as last:
            while await first.wait(0.5):
                """Connecting wakes everybody once."""
            await last.wait(0)
            here.publish("runs", keys)

            assert await first.wait(10)
            assert await last.wait(10)


async def test_a_hint_while_nobody_waits_is_kept(postgres_dsn: str, postgres: Postgres) -> None:
    async with listening(postgres_dsn, postgres) as hints:
        with hints.subscribe("runs", ["a"]) as subscription:
            hints.publish("runs", ["a"])
            assert await subscription.wait(0)


async def test_listening_goes_on_after_its_connection_is_cut(postgres_dsn: str, postgres: Postgres) -> None:
    async with listening(postgres_dsn, postgres) as here, listening(postgres_dsn, postgres) as there:
        with there.subscribe("runs", ["a"]) as subscription:
            while await subscription.wait(0.5):
                """Connecting wakes everybody once."""
            await postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'runstream listen' AND datname = current_database()"
            )

            assert await subscription.wait(10), "a new connection wakes everybody"
            here.publish("runs", ["a"])
            assert await subscription.wait(10)


async def test_the_pool_says_that_the_database_is_unavailable_and_heals(postgres_dsn: str, postgres: Postgres) -> None:
    async with open_postgres(PostgresConfig(dsn=postgres_dsn)) as other:
        with pytest.raises(DatabaseUnavailable):
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'runstream'"
            )
        for _ in range(20):
            try:
                assert await other.fetchval("SELECT 1") == 1
                return
            except DatabaseUnavailable:
                continue
    pytest.fail("the pool did not heal")


async def test_jsonb_columns_are_python_objects(postgres: Postgres) -> None:
    assert await postgres.fetchval("SELECT $1::jsonb", {"a": [1, None]}) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("cast", "value"), [("integer", 2**40), ("integer", "one"), ("text", "\0"), ("text", "\ud800")]
)
async def test_a_value_that_postgres_cannot_take_is_no_outage(postgres: Postgres, cast: str, value: object) -> None:
    with pytest.raises(asyncpg.DataError):
        await postgres.fetchval(f"SELECT $1::{cast}", value)


async def test_a_lock_that_somebody_holds_is_told_apart_from_an_outage(postgres: Postgres) -> None:
    await postgres.execute("CREATE TABLE held ()")
    async with postgres.transaction() as holder:
        await holder.execute("LOCK TABLE held")
        with pytest.raises(LockTimedOut):
            await postgres.execute("SET LOCAL lock_timeout = 10; LOCK TABLE held")


@pytest.mark.parametrize("cut", [Cut.BEFORE_DATA, Cut.WITHIN_DATA])
async def test_a_connection_that_is_lost_while_much_is_copied_ends_the_copy(postgres_dsn: str, cut: Cut) -> None:
    async with (
        postgres_proxy(postgres_dsn) as proxy,
        open_postgres(PostgresConfig(dsn=proxy.dsn)) as postgres,
    ):
        await postgres.execute("CREATE TABLE thing (content bytea)")
        proxy.cut(cut, after='COPY "thing"')
        async with asyncio.timeout(SECONDS) as deadline:
            with pytest.raises(DatabaseUnavailable):
                async with postgres.transaction() as connection:
                    await connection.copy_records_to_table("thing", records=[(bytes(LARGE),)] * 4)

        assert not deadline.expired()
        assert await postgres.fetchval("SELECT count(*) FROM thing") == 0
