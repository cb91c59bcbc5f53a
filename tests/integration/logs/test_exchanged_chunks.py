"""A chunk that is well in itself and lies in the place of another one is damage."""

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.logs.scrubbing import scrub
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import failure_of_stream
from tests.conftest import Backend
from tests.log_files import PATH, read_log, write_log

ONE, OTHER = b"one text of a log\n" * 99, b"two text of a log\n" * 99


async def test_chunks_that_were_exchanged_are_neither_served_nor_overlooked(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write_log(backend, run, ONE, OTHER)
    await postgres.execute(
        """
        UPDATE logs.chunk AS one SET content = other.content
          FROM logs.chunk AS other
         WHERE one.start_offset <> other.start_offset
        """
    )
    request = messages.ReadLogRequest(run=run, path=PATH)

    assert (await failure_of_stream(stubs.logs(backend.channel).ReadLog(request))).code.name == "DATA_LOSS"
    assert (await scrub(backend.config))["damaged_places"] == 2


async def test_chunks_of_an_earlier_version_have_no_checksum_to_compare(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write_log(backend, run, ONE)
    await postgres.execute("UPDATE logs.chunk SET checksum = NULL")

    assert await read_log(backend, run) == ONE
