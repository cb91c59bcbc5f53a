"""What all HTTP endpoints have in common: request id, bound, metrics and access log."""

import logging
import time
import uuid
from dataclasses import dataclass

from aiohttp import web
from aiohttp.hdrs import METH_ALL
from aiohttp.typedefs import Handler, Middleware

from runstream_server.telemetry import HttpMetrics, request_id

MAX_REQUESTS = 1_000
"""How many requests may be open at once per process; further ones are told to come again."""

REQUEST_ID = "X-Request-Id"

_SLOW_SECONDS = 1.0
_HEALTH = "/health"

logger = logging.getLogger(__name__)


def make_application(access_log: str, max_requests: int = MAX_REQUESTS) -> web.Application:
    """An application that answers nothing but whether it is alive.

    `access_log` says which requests are logged: `none`, `errors` or `all`.
    """
    guarded = _Watching(access_log, max_requests).middleware()
    application = web.Application(middlewares=[guarded])
    application.router.add_get(_HEALTH, _health)
    return application


async def _health(request: web.Request) -> web.Response:
    return web.Response(text="OK")


@dataclass
class _Watching:
    """Looks at each request from its beginning to its end."""

    access_log: str
    max_requests: int
    open_requests: int = 0

    def middleware(self) -> Middleware:
        """What aiohttp calls around each handler."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            begun, mark = time.perf_counter(), request_id.set(uuid.uuid4().hex)
            self.open_requests += 1
            status = 499  # unless it comes to an answer, the client is gone
            try:
                response = await self._answer(request, handler)
                status = response.status
            except web.HTTPException as error:
                status = error.status
                raise
            else:
                return response
            finally:
                self.open_requests -= 1
                self._note(request, status, time.perf_counter() - begun)
                request_id.reset(mark)

        return watch

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.open_requests > self.max_requests and request.path != _HEALTH:
            return web.json_response(
                {
                    "error_code": "REQUEST_LIMIT_EXCEEDED",
                    "message": f"this server has {self.max_requests} open requests, which is all it takes",
                },
                status=429,
                headers={"Retry-After": "1"},
            )
        response = await handler(request)
        if not response.prepared:
            response.headers[REQUEST_ID] = request_id.get()
        return response

    def _note(self, request: web.Request, status: int, seconds: float) -> None:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        method = request.method if request.method in METH_ALL else "other"  # else clients could invent series
        HttpMetrics(method, route).ended(status, seconds)
        is_notable = status >= 500 or seconds > _SLOW_SECONDS
        if self.access_log == "all" or (self.access_log == "errors" and is_notable):
            logger.info(
                "request",
                extra={
                    "method": method,
                    "route": route,
                    "status": status,
                    "milliseconds": round(seconds * 1000, 1),
                },
            )
