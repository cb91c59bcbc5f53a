"""Bodies that are read as a whole, and the secrets that requests show."""

import base64

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from runstream_server.auth.errors import TokenUnknown
from runstream_server.gateway.mlflow.bodies import Bodies
from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.gateway.visitors import shown_secret

ROOM, MOST = 10, 8


async def read(bodies: Bodies, body: bytes) -> str:
    """How reading a body goes: what is read, or the code of the error."""

    async def answer(request: web.Request) -> web.Response:
        try:
            async with bodies.reading(request, MOST) as found:
                return web.Response(text=found.decode())
        except MlflowError as error:
            return web.Response(text=error.code)

    application = web.Application()
    application.router.add_post("/", answer)
    async with TestClient(TestServer(application)) as client, client.post("/", data=body) as response:
        return await response.text()


async def test_a_body_is_taken_up_to_its_limit() -> None:
    bodies = Bodies(ROOM)

    assert await read(bodies, b"x" * MOST) == "x" * MOST
    assert await read(bodies, b"x" * (MOST + 1)) == "INVALID_PARAMETER_VALUE"


async def test_room_that_others_have_is_not_there_until_they_give_it_back() -> None:
    bodies = Bodies(ROOM)

    async def answer(request: web.Request) -> web.Response:
        async with bodies.reading(request, MOST):
            return web.Response(text=await read(bodies, b"xxx"))

    application = web.Application()
    application.router.add_post("/", answer)
    async with TestClient(TestServer(application)) as client, client.post("/", data=b"x" * MOST) as response:
        assert await response.text() == "REQUEST_LIMIT_EXCEEDED"

    assert await read(bodies, b"x" * MOST) == "x" * MOST


@pytest.mark.parametrize(
    "header", ["Bearer \udcff", "Basic \udcff", "Basic !", "Basic " + base64.b64encode(b"a:\xff").decode(), "Digest a"]
)
def test_what_can_be_no_secret_is_told_apart_from_none(header: str) -> None:
    with pytest.raises(TokenUnknown):
        shown_secret(header)
