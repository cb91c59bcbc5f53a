"""Services whose bucket, theirs and that of their clients, is behind a proxy that gives trouble."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc

from runstream_server.config import Config
from runstream_server.postgres import Postgres
from runstream_server.rpc import open_channel
from tests.append_clients import doubles, metrics_stream
from tests.bucket_proxy import BucketProxy, Trouble, bucket_proxy
from tests.chaos.scale import SCALE
from tests.conditions import until_answered
from tests.conftest import Backend
from tests.log_files import end_run, read_log, write_log
from tests.make_runs import make_run
from tests.server_process import ServerProcess

_WATCH = """
CREATE TABLE public.first_delete (service text, run text, delete_time timestamptz, PRIMARY KEY (service, run));
CREATE FUNCTION public.note_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.first_delete VALUES (tg_table_schema, old.run, clock_timestamp()) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE FUNCTION public.note_unless_merged() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM metrics.chunk
         WHERE (workspace, run, series) = (old.workspace, old.run, old.series)
           AND start_index <= old.start_index AND start_index + point_count > old.start_index
    ) THEN
        INSERT INTO public.first_delete VALUES ('metrics', old.run, clock_timestamp()) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER note_delete AFTER DELETE ON metrics.chunk DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.note_unless_merged();
CREATE TRIGGER note_delete AFTER DELETE ON logs.chunk FOR EACH ROW EXECUTE FUNCTION public.note_delete();
"""
_DUE = """
UPDATE {0}.seal_task SET due_time = now()
 WHERE failures > 0 AND due_time > now() AND due_time < now() + interval '4 minutes'
"""
_UNSEALED = """
SELECT NOT EXISTS (SELECT FROM {0}.chunk JOIN unnest($1::text[]) AS ended (run) USING (run))
   AND NOT EXISTS (SELECT FROM {0}.seal_task JOIN unnest($1::text[]) AS ended (run) USING (run))
"""


@dataclass
class Written:
    """What was acknowledged of a run."""

    run: str
    text: bytes = b""
    values: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """How long each batch of values took from being sent to its acknowledgement."""


@dataclass(frozen=True)
class BucketSite:
    """A server, its database, and the proxy."""

    server: ServerProcess
    proxy: BucketProxy
    postgres: Postgres
    channel: grpc.aio.Channel
    choice: random.Random

    def trouble(self, *kinds: Trouble, chance: float = 1.0) -> None:
        """From now on so many requests meet one of these; none of them: all is well."""
        self.proxy.chance = lambda: self.choice.choice(kinds) if kinds and self.choice.random() < chance else None

    @property
    def backend(self) -> Backend:
        """The same for helpers that know nothing else."""
        return Backend(self.server.address, self.channel, self.server.config)

    async def write(self, name: str, batches: int) -> Written:
        """Writes values and a log into a run of its own, and ends it; each batch is acknowledged before the next."""
        written = Written(await make_run(self.channel, name))
        async with metrics_stream(self.channel, written.run) as stream:
            for sequence in range(1, batches + 1):
                values = [self.choice.random() for _ in range(20)]
                begun = time.perf_counter()
                await stream.send(sequence, doubles("loss", values))
                await stream.acknowledged(sequence)
                written.seconds.append(time.perf_counter() - begun)
                written.values += values
            await stream.finish()
            await stream.half_close()
        written.text = self.choice.randbytes(2_000)
        await write_log(self.backend, written.run, written.text, finish=True)
        await end_run(self.backend, written.run)
        return written

    async def failed(self, run: str) -> None:
        """Waits until it was tried in vain to seal a run."""
        await until_answered(
            lambda: self.postgres.fetchval(
                "SELECT EXISTS (SELECT FROM metrics.seal_task WHERE run = $1 AND failures > 0)", run.split("/")[-1]
            )
        )

    async def sealed(self, *runs: str) -> None:
        """Waits until nothing of runs is left in Postgres; what failed is tried again at once."""
        names = [run.split("/")[-1] for run in runs]

        async def is_sealed() -> bool:
            for service in ("metrics", "logs"):
                await self.postgres.execute(_DUE.format(service))
            return all([await self.postgres.fetchval(_UNSEALED.format(each), names) for each in ("metrics", "logs")])

        await until_answered(is_sealed, SCALE.seconds)

    async def check_read_back(self, written: Written) -> None:
        """Asserts that each object was read before anything of it left Postgres."""
        run = written.run.split("/")[-1]
        for service, table in (("metrics", "sealed_object"), ("logs", "segment")):
            deleted = await self.postgres.fetchval(
                """
                SELECT extract(epoch FROM delete_time)::float8
                  FROM public.first_delete
                 WHERE service = $1 AND run = $2
                """,
                service,
                run,
            )
            number = "generation" if service == "metrics" else "segment"
            current = await self.postgres.fetchval(
                f"SELECT max({number}) FROM {service}.{table} WHERE run = $1 AND state = 'current'", run
            )
            read = [
                when for when, asked in list(self.proxy.answered) if asked.startswith("GET") and f"/{current}." in asked
            ]
            assert read, f"{service} of {run} were never read back"
            assert min(read) < deleted, f"{service} of {run} left Postgres before they were read back"

    async def read_log(self, written: Written) -> bytes:
        """The log of a run."""
        return await read_log(self.backend, written.run)


@asynccontextmanager
async def bucket_site(config: Config, postgres: Postgres, choice: random.Random) -> AsyncIterator[BucketSite]:
    """A site whose server runs; deletions of chunks are noted by its database."""
    await postgres.execute(_WATCH)
    with bucket_proxy(config.bucket.endpoint) as proxy:
        bucket = replace(config.bucket, endpoint=proxy.endpoint, public_endpoint=proxy.endpoint)
        server = ServerProcess(replace(config, bucket=bucket))
        async with server.running(), open_channel(server.address) as channel:
            yield BucketSite(server, proxy, postgres, channel, choice)
