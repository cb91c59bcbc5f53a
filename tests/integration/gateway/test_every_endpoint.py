"""Every endpoint of the gateway by everybody, and with everything that its parameters are not."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import cycle, islice
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from runstream_server.auth import Role
from runstream_server.config import Config
from runstream_server.gateway.mlflow.endpoint import Endpoint, RawEndpoint
from runstream_server.gateway.mlflow.errors import STATUSES
from runstream_server.gateway.mlflow.routes import known_endpoints
from runstream_server.postgres import open_postgres
from tests.endpoint_rows import ROWS, Row, Things
from tests.gateway_files import Files
from tests.gateways import Answered, Gateway, gateway_url, open_gateway
from tests.guarded import Guarded, guarded_services, now
from tests.mlflow_runs import metric, start_run

Table = Mapping[str, Endpoint | RawEndpoint]

NUMBERS: list[Any] = [None, True, -1, 1.5, 1 << 63, 10**30, float("nan")]
TEXTS: list[Any] = ["", "x" * 10_000, "\0", "\ud800", "%2e%2e/..", "\u0661", "'\"`\\*\r\n"]
NESTED: list[Any] = [{}, {"a": "\ud800"}, [], [[]], [{}], [None], ["x", 5], [{"key": 5, "name": []}], ["\0"]]
_TRIED = 4
"""How many of them each parameter is tried with, others each time."""

DENIED = "PERMISSION_DENIED"
OF_RUN = {"POST registered-models/create": DENIED, "GET registered-models/alias": "INVALID_PARAMETER_VALUE"}
"""What the token of another run gets where that is unlike the rest."""

_PART = re.compile(r"{(\w+)(?::(?:\.\+|\(\?s:\.\*\)))?}")


@pytest.fixture
async def table(config: Config) -> AsyncIterator[Table]:
    """All endpoints, by method and path."""
    async with open_postgres(config.postgres) as postgres:
        yield {f"{each.method} {each.path}": each for each in known_endpoints(postgres, config.gateway, now)}


async def make_things(gateway: Gateway) -> Things:
    """Makes what the rows speak of."""
    experiment = (await gateway.post("experiments/create", name="all")).found()["experiment_id"]
    run = await start_run(gateway, experiment_id=experiment)
    await gateway.post("runs/log-metric", run_id=run, **metric())
    made = await gateway.post("logged-models", experiment_id=experiment, name="m", source_run_id=run)
    things = Things(run, experiment, made.found()["model"]["info"]["model_id"])
    (await gateway.post("registered-models/create", name=things.registered)).found()
    source = f"models:/{things.model}"
    (await gateway.post("model-versions/create", name=things.registered, source=source, run_id=run)).found()
    (await gateway.post("registered-models/alias", name=things.registered, alias="best", version="1")).found()
    await Files(gateway, f"{experiment}/{run}/artifacts").put("a.txt", b"bytes")
    return things


async def ask(gateway: Gateway, endpoint: Endpoint | RawEndpoint, fields: Mapping[str, Any], row: Row) -> Answered:
    """Sends a request with these parameters, each where the endpoint has it."""
    path = _path(endpoint, fields)
    rest = {name: value for name, value in fields.items() if name not in _PART.findall(endpoint.path)}
    if endpoint.method == "GET":
        path += f"?{'&'.join(f'{name}={_encoded(each)}' for name, value in rest.items() for each in _each(value))}"
        return await _send(gateway, endpoint.method, path, None)
    data = json.dumps(rest).encode() if isinstance(endpoint, Endpoint) else row.data
    return await _send(gateway, endpoint.method, path, data)


def _path(endpoint: Endpoint | RawEndpoint, fields: Mapping[str, Any]) -> str:
    path = _PART.sub(lambda part: _encoded(fields.get(part[1]), safe="/"), endpoint.path)
    return path if isinstance(endpoint, RawEndpoint) else f"/api/{endpoint.version}/mlflow/{path}"


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _encoded(value: Any, safe: str = "") -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return quote(text[:3_000], safe=safe, errors="surrogatepass")


async def _send(gateway: Gateway, method: str, path: str, data: bytes | None) -> Answered:
    async with gateway.session.request(method, URL(gateway.url + path, encoded=True), data=data) as response:
        text = await response.text(errors="replace")
        is_json = response.content_type == "application/json"
        return Answered(response.status, json.loads(text) if is_json else text, response.headers)


def spoiled(fields: Mapping[str, Any], odd: Iterator[Any]) -> Iterator[Mapping[str, Any]]:
    """Parameters, one at a time of which, or something in one, is something else."""
    for name, value in fields.items():
        inner = value[0] if isinstance(value, list) and value else value
        within = list(spoiled(inner, odd)) if isinstance(inner, dict) else []
        others = [[each] for each in within] if isinstance(value, list) else within
        yield from ({**fields, name: each} for each in [*others, *islice(odd, _TRIED)])


def is_error(answer: Answered) -> bool:
    """Whether it is an error as clients expect it, and none of the server."""
    if not isinstance(answer.body, dict) or not 400 <= answer.status < 500:
        return False
    return STATUSES.get(answer.body.get("error_code", "")) == answer.status and isinstance(answer.body["message"], str)


def test_every_endpoint_has_a_row_and_there_is_no_other(table: Table) -> None:
    assert set(ROWS) == set(table)
    for name, endpoint in table.items():
        assert (endpoint.role, endpoint.of_run) == (ROWS[name].role, ROWS[name].of_run), name


async def test_no_value_of_a_parameter_is_a_defect(gateway: Gateway, table: Table) -> None:
    things, odd = await make_things(gateway), cycle([*NUMBERS, *TEXTS, *NESTED])
    wrong = {}
    for name, row in ROWS.items():
        for fields in spoiled(things.put_into(row.fields), odd):
            answer = await ask(gateway, table[name], fields, row)
            if answer.status != 200 and not is_error(answer):
                wrong[ascii((name, fields))[:300]] = answer.status, answer.body

    assert wrong == {}


async def test_what_is_no_request_of_an_endpoint_is_told_so(gateway: Gateway, table: Table) -> None:
    things = await make_things(gateway)
    for name, row in ROWS.items():
        endpoint = table[name]
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if f"{method} {endpoint.path}" not in table:
                other = replace(endpoint, method=method)
                answer = await ask(gateway, other, things.put_into(row.fields), row)
                assert is_error(answer), name
                assert told(answer) == "ENDPOINT_NOT_FOUND" or other.path == "logged-models/search", name
        if isinstance(endpoint, Endpoint) and endpoint.method != "GET":
            for body in (b"{", b"[]", b"1", b"\xff", b'{"a":' * 100_000):
                answer = await _send(gateway, endpoint.method, _path(endpoint, things.put_into(row.fields)), body)
                assert answer.error[:2] == (400, "BAD_REQUEST"), name


async def test_nothing_is_made_in_a_workspace_that_does_not_exist(gateway: Gateway, table: Table) -> None:
    things = await make_things(gateway)
    nowhere = replace(gateway, url=gateway.url.replace("/space", "/nowhere"))
    for name in (name for name, row in ROWS.items() if row.role is Role.WRITER):
        answer = await ask(nowhere, table[name], things.put_into(ROWS[name].fields), ROWS[name])
        assert told(answer) == "RESOURCE_DOES_NOT_EXIST", name


async def test_every_endpoint_admits_whom_it_says_and_nobody_else(config: Config, table: Table) -> None:
    async with guarded_services(config) as guarded, AsyncExitStack() as stack:
        await gateway_url(guarded.channel)
        writer = await _showing(stack, guarded, Role.WRITER)
        things = await make_things(writer)
        callers = {
            "nobody": await stack.enter_async_context(open_gateway(guarded.channel)),
            "reader": await _showing(stack, guarded, Role.READER),
            "another run": await _showing(stack, guarded, Role.RUN, run=await start_run(writer)),
        }
        wrong = {}
        for name, row in ROWS.items():
            for who, right in expected(name, row).items():
                answer = await ask(callers[who], table[name], things.put_into(row.fields), row)
                if told(answer) != right:
                    wrong[f"{name} by {who}"] = f"{told(answer)}, not {right}"

        assert wrong == {}


async def test_workspaces_do_not_reach_each_other_by_any_endpoint(config: Config, table: Table) -> None:
    async with guarded_services(config) as guarded, AsyncExitStack() as stack:
        await gateway_url(guarded.channel)
        await gateway_url(guarded.channel, "theirs")
        ours = await _showing(stack, guarded, Role.ADMIN)
        theirs = await _showing(stack, guarded, Role.ADMIN, "theirs")
        things = await make_things(ours)
        wrong = {}
        for name, row in ROWS.items():
            answers = [await ask(replace(theirs, url=ours.url), table[name], things.put_into(row.fields), row)]
            answers += [await ask(theirs, table[name], things.put_into(row.fields), row)] if row.names else []
            if any(told(each) != "RESOURCE_DOES_NOT_EXIST" and each.body != {"metrics": []} for each in answers):
                wrong[name] = answers

        assert wrong == {}


async def _showing(
    stack: AsyncExitStack, guarded: Guarded, role: Role, workspace: str = "space", **of_token: Any
) -> Gateway:
    _, secret = await guarded.token(role, workspace, **of_token)
    return await stack.enter_async_context(open_gateway(guarded.channel, workspace, secret))


def told(answer: Answered) -> str:
    """The error code, or that the request was fulfilled."""
    return "OK" if answer.status == 200 else str(answer.body["error_code"])


def expected(name: str, row: Row) -> Mapping[str, str]:
    """Who gets what."""
    of_run = "RESOURCE_DOES_NOT_EXIST" if row.names else "OK"
    return {
        "nobody": "UNAUTHENTICATED",
        "reader": "OK" if row.role is Role.READER else DENIED,
        "another run": OF_RUN.get(name, of_run) if row.of_run else DENIED,
    }
