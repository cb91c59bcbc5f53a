"""What the gateway answers before any dialect comes in."""

from dataclasses import replace

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from runstream_server.auth import Role
from runstream_server.config import Config
from runstream_server.gateway.http import make_application
from runstream_server.gateway_config import GatewayConfig
from tests.conftest import Backend, serve
from tests.gateways import Gateway, gateway_url, open_gateway
from tests.guarded import guarded_services

SERVER_INFO = "/api/3.0/mlflow/server-info"


async def test_it_is_alive(gateway: Gateway) -> None:
    async with gateway.session.get(gateway.url.partition("/workspaces")[0] + "/health") as response:
        assert (response.status, await response.text()) == (200, "OK")


async def test_it_says_which_mlflow_it_is_like(gateway: Gateway) -> None:
    assert (await gateway.request("GET", "/version")).body == "3.17.2"
    assert (await gateway.request("GET", SERVER_INFO)).found()["store_type"] == "SqlStore"


async def test_what_nobody_answers_is_told_in_json(gateway: Gateway) -> None:
    answer = await gateway.post("no/such-thing")

    assert answer.error == (
        404,
        "ENDPOINT_NOT_FOUND",
        "There is no POST /workspaces/space/api/2.0/mlflow/no/such-thing here.",
    )


async def test_the_page_of_mlflow_finds_the_same_endpoints(gateway: Gateway) -> None:
    assert (await gateway.request("GET", "/ajax-api/3.0/mlflow/server-info")).status == 200


async def test_the_workspace_of_the_url_is_looked_at(gateway: Gateway) -> None:
    async with gateway.session.get(gateway.url.rpartition("/")[0] + "/no" + SERVER_INFO) as response:
        assert (response.status, (await response.json())["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_the_workspace_says_where_its_gateway_is_unless_nobody_knows(backend: Backend, config: Config) -> None:
    assert (await gateway_url(backend.channel)).startswith("http://127.0.0.1:")
    everywhere = replace(config, gateway=GatewayConfig(port=0, url="https://runs.example.com"))
    async with serve(everywhere) as served:
        assert await gateway_url(served.channel) == "https://runs.example.com/workspaces/space"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic !", "Digest abc"])
async def test_who_shows_no_token_is_not_let_in(config: Config, header: str) -> None:
    async with guarded_services(config) as guarded, open_gateway(guarded.channel) as gateway:
        answer = await gateway.request("GET", SERVER_INFO, headers={"Authorization": header} if header else {})

        assert (answer.status, answer.body["error_code"]) == (401, "UNAUTHENTICATED")
        assert "MLFLOW_TRACKING_TOKEN" in answer.body["message"]


async def test_a_token_is_shown_as_bearer_or_as_password(config: Config) -> None:
    async with guarded_services(config) as guarded, open_gateway(guarded.channel) as gateway:
        _, secret = await guarded.token(Role.READER)
        basic = aiohttp.encode_basic_auth("anybody", secret)
        for header in (f"Bearer {secret}", f"bearer {secret}", basic):
            answer = await gateway.request("GET", SERVER_INFO, headers={"Authorization": header})
            assert answer.status == 200, header


async def test_a_token_does_not_reach_the_workspace_of_another(config: Config) -> None:
    async with guarded_services(config) as guarded, open_gateway(guarded.channel, "other") as gateway:
        _, secret = await guarded.token(Role.ADMIN)
        answer = await gateway.request("GET", SERVER_INFO, headers={"Authorization": f"Bearer {secret}"})

        assert (answer.status, answer.body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_more_requests_than_it_takes_are_told_to_come_again() -> None:
    application = make_application("none", max_requests=0)
    async with TestClient(TestServer(application)) as client:
        refused = await client.get("/version")
        alive = await client.get("/health")

        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert alive.status == 200


async def test_each_answer_has_the_id_of_its_request(gateway: Gateway) -> None:
    first, second = [(await gateway.get("no")).headers["X-Request-Id"] for _ in range(2)]

    assert first != second


async def test_a_body_that_is_not_encoded_as_it_says_is_refused(gateway: Gateway) -> None:
    made = (await gateway.post("runs/create")).found()["run"]["info"]
    file = f"/api/2.0/mlflow-artifacts/artifacts/{made['artifact_uri'].partition(':/')[2]}/file"
    for method, path in (("POST", "/api/2.0/mlflow/runs/create"), ("PUT", file)):
        answer = await gateway.request(method, path, data=b"no gzip", headers={"Content-Encoding": "gzip"})
        assert (answer.status, answer.body["error_code"]) == (400, "BAD_REQUEST"), method
