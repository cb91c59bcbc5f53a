"""What all HTTP endpoints have in common."""

import logging
import uuid

from aiohttp import web

from runstream_server.telemetry import request_id

MAX_BODY_BYTES = 32 << 20
"""How large a body may be that is read as a whole."""

REQUEST_ID = "X-Request-Id"

logger = logging.getLogger(__name__)


def make_application() -> web.Application:
    """An application that answers nothing but whether it is alive."""
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[identified])
    application.router.add_get("/health", _health)
    return application


@web.middleware
async def identified(request: web.Request, handler: "web.Handler") -> web.StreamResponse:  # type: ignore[name-defined]
    """Gives each request an id, which the log and the answer have."""
    mark = request_id.set(uuid.uuid4().hex)
    try:
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            response.headers[REQUEST_ID] = request_id.get()
        return response
    finally:
        request_id.reset(mark)


async def _health(request: web.Request) -> web.Response:
    return web.Response(text="OK")
