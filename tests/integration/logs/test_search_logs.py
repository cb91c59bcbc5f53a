"""SearchLogs: over runs and files, hot and sealed, in order, and resumed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.logs.search.files import SearchedFiles
from runstream_server.logs.search.model import RunPlace, SearchPlace, SearchQuery
from runstream_server.logs.search.patterns import Literal
from runstream_server.logs.store import LogStore
from runstream_server.names import RunName
from runstream_server.postgres import Postgres
from runstream_server.runhistory import RunHistory
from tests import stubs
from tests.append_clients import failure_of_stream
from tests.conftest import Backend
from tests.log_files import PATH, end_run, logs_sealed, search, write_log
from tests.make_runs import make_run


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


def matches_of(responses: Sequence[messages.SearchLogsResponse]) -> list[messages.LogMatch]:
    return [match for response in responses for match in response.matches]


def found(responses: Sequence[messages.SearchLogsResponse]) -> list[tuple[str, str, int, bytes]]:
    return [(m.run.split("/")[-1], m.path, m.line.number, m.line.data) for m in matches_of(responses)]


async def test_lines_are_found_where_they_are_sealed_and_where_they_are_not(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write_log(backend, run, b"one needle\ntwo\n" * 100, finish=True)
    await end_run(backend, run)
    await logs_sealed(postgres)
    other = await make_run(backend.channel, "other")
    await write_log(backend, other, b"thr", b"ee nee", b"dle\nfour", path="logs/a.txt")

    responses = await search(backend, runs=[other, run], literal=b"needle", lines_before=1, lines_after=1)

    assert found(responses) == [
        ("other", "logs/a.txt", 1, b"three needle"),
        *(("run", PATH, number, b"one needle") for number in range(1, 201, 2)),
    ]
    first, second, third = matches_of(responses)[:3]
    assert [line.data for line in first.after] == [b"four"]
    assert (second.before[:], [line.number for line in third.before]) == ([], [2])
    assert [(each.start_offset, each.end_offset) for each in third.ranges] == [(19, 25)]
    assert all(match.line.HasField("write_time") for match in matches_of(responses))
    assert responses[-1].ended == messages.SEARCH_END_COMPLETE
    assert responses[-1].searched_bytes == 1_500 + 17


async def test_a_filter_chooses_runs_newest_first_and_paths_choose_files(backend: Backend) -> None:
    runs = [await make_run(backend.channel, f"run-{number}") for number in range(3)]
    for run in runs:
        await write_log(backend, run, b"hit\n")
        await write_log(backend, run, b"hit\n", path="logs/b.txt", writer="b")

    everything = await search(backend, literal=b"hit")
    some = await search(backend, filter='run_id != "run-1"', paths=["azureml-logs/70_driver_log.txt"], regex="^h.t$")

    names = ["run-2", "run-1", "run-0"]
    assert [each[:2] for each in found(everything)] == [(run, path) for run in names for path in ("logs/b.txt", PATH)]
    assert [each[:2] for each in found(some)] == [("run-2", PATH), ("run-0", PATH)]


async def test_a_search_goes_on_from_any_cursor_without_gap_or_repetition(
    backend: Backend, replica: Backend, postgres: Postgres
) -> None:
    runs = [await make_run(backend.channel, f"run-{number}") for number in range(3)]
    for run in runs:
        await write_log(backend, run, b"".join(b"line %d\n" % number for number in range(50)), finish=True)
        await write_log(backend, run, b"line\nline\n", path="z.txt")
    await end_run(backend, runs[0])
    query: dict[str, Any] = {"regex": "line.*[05]?$", "lines_before": 1, "lines_after": 2}
    whole = matches_of(await search(backend, **query))

    pieces: list[messages.LogMatch] = []
    cursor, ended, servers = "", messages.SEARCH_END_MATCHES, [backend, replica]
    while ended == messages.SEARCH_END_MATCHES:
        responses = await search(servers[0], **query, cursor=cursor, max_matches=7)
        servers.reverse()
        pieces.extend(matches_of(responses))
        cursor, ended = responses[-1].cursor, responses[-1].ended

    assert pieces == whole
    assert len(whole) == 3 * 52


async def test_a_cursor_of_another_search_is_refused(backend: Backend, run: str) -> None:
    await write_log(backend, run, b"a\na\n")
    (first, *_) = await search(backend, literal=b"a", max_matches=1)

    request = messages.SearchLogsRequest(parent="workspaces/space", literal=b"b", cursor=first.cursor)
    assert (await failure_of_stream(stubs.logs(backend.channel).SearchLogs(request))).reason == "INVALID_CURSOR"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "INVALID_FIELD"),
        ({"literal": b""}, "INVALID_FIELD"),
        ({"literal": b"x" * 1_001}, "INVALID_FIELD"),
        ({"literal": b"a\nb"}, "INVALID_FIELD"),
        ({"regex": "x" * 1_001}, "INVALID_FIELD"),
        ({"regex": "("}, "INVALID_PATTERN"),
        ({"literal": b"x", "lines_before": 101}, "INVALID_FIELD"),
        ({"literal": b"x", "lines_after": -1}, "INVALID_FIELD"),
        ({"literal": b"x", "max_matches": 10_001}, "INVALID_FIELD"),
        ({"literal": b"x", "filter": "nonsense ="}, "INVALID_FILTER"),
        ({"literal": b"x", "filter": "a", "runs": ["workspaces/space/runs/r"]}, "INVALID_FIELD"),
        ({"literal": b"x", "runs": ["workspaces/other/runs/r"]}, "INVALID_FIELD"),
        ({"literal": b"x", "runs": ["workspaces/space/runs/r"] * 2}, "INVALID_FIELD"),
        ({"literal": b"x", "paths": ["../x"]}, "INVALID_FIELD"),
        ({"literal": b"x", "paths": ["x"] * 101}, "INVALID_FIELD"),
        ({"literal": b"x", "cursor": "x"}, "INVALID_CURSOR"),
    ],
)
async def test_a_wrong_search_is_refused(backend: Backend, run: str, options: dict[str, Any], reason: str) -> None:
    request = messages.SearchLogsRequest(parent="workspaces/space", **options)
    failure = await failure_of_stream(stubs.logs(backend.channel).SearchLogs(request))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_search_in_a_workspace_that_is_not_there_finds_none(backend: Backend) -> None:
    request = messages.SearchLogsRequest(parent="workspaces/nowhere", literal=b"x")
    failure = await failure_of_stream(stubs.logs(backend.channel).SearchLogs(request))

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "WORKSPACE_NOT_FOUND")


async def test_searches_beyond_those_at_once_wait_and_are_answered(backend: Backend, run: str) -> None:
    await write_log(backend, run, b"hit\n" * 1_000)

    answers = await asyncio.gather(*(search(backend, literal=b"hit") for _ in range(12)))

    assert [len(matches_of(answer)) for answer in answers] == [1_000] * 12


async def test_files_are_searched_in_order_however_many_there_are(backend: Backend, postgres: Postgres) -> None:
    runs = [RunName.parse(await make_run(backend.channel, f"run-{number}")) for number in range(5)]
    paths = ["a.txt", "b.txt", "c.txt"]
    for run in runs:
        for path in paths:
            await write_log(backend, str(run), b"x", path=path, writer=path.replace(".", "-"))
    history = RunHistory(backend.channel, backend.channel)
    files = SearchedFiles(LogStore(postgres), history, files_at_once=2, runs_at_once=2)

    async def found(query: SearchQuery) -> list[tuple[RunPlace, str, str]]:
        return [(place, place.run, file.path if file else "") async for place, file in files.files(query)]

    query = SearchQuery("space", runs, "", (), Literal(b"x"), 0, 0, 1, None)
    for each in (query, replace(query, runs=())):
        everything = await found(each)
        passed = [place for place, _, path in everything if not path]
        everything = [item for item in everything if item[2]]
        names = [run.run for run in runs] if each.runs else [run.run for run in reversed(runs)]
        assert [place[1:] for place in everything] == [(name, path) for name in names for path in paths]
        for number, (place, _, path) in enumerate(everything):
            rest = await found(replace(each, place=SearchPlace(place, path, 0, 1)))
            assert [after[1:] for after in rest if after[2]] == [after[1:] for after in everything[number:]]
        for pages, place in enumerate(passed, 1):  # two runs are on a page
            rest = await found(replace(each, place=SearchPlace(place, "", 0, 1)))
            assert [after[1:] for after in rest if after[2]] == [after[1:] for after in everything[6 * pages :]]
        assert len(passed) == 2
