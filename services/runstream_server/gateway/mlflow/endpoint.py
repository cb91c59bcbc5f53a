"""What an endpoint is, and what all of them have in common."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from runstream_server.auth import Role
from runstream_server.errors import RunstreamError
from runstream_server.gateway.mlflow.bodies import MAX_BODY_BYTES, Bodies
from runstream_server.gateway.mlflow.errors import (
    ENDPOINT_NOT_FOUND,
    INTERNAL_ERROR,
    MlflowError,
    of_error,
    of_refusal,
    wrong,
)
from runstream_server.gateway.mlflow.fields import Fields, read_body
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor, Visitors
from runstream_server.telemetry import request_id

logger = logging.getLogger(__name__)

Answer = Mapping[str, Any]
"""A JSON object."""

Answering = Callable[[Visitor, Fields], Awaitable[Answer]]
Handling = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serving = Callable[[Visitor, web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Endpoint:
    """A method and a path that take parameters and answer with JSON."""

    method: str

    path: str
    """Below `/api/2.0/mlflow/`, `runs/create` for example. A part in braces is a parameter as well."""

    answer: Answering

    role: Role
    """The least role. What the services keep they guard themselves, besides."""

    of_run: bool = True
    """Whether the token of a run will do: where the services check what it reaches."""

    version: str = "2.0"
    max_body_bytes: int = MAX_BODY_BYTES


@dataclass(frozen=True)
class RawEndpoint:
    """A method and a path that move bytes."""

    method: str

    path: str
    """The whole path: `/api/2.0/mlflow-artifacts/artifacts/{path:.*}` for example."""

    serve: Serving
    role: Role
    of_run: bool = True


def json_handler(endpoint: Endpoint, visitors: Visitors, bodies: Bodies) -> Handling:
    """Answers the requests of an endpoint."""

    async def handle(request: web.Request) -> web.StreamResponse:
        visitor = await visitors.find(request)
        visitor.require(endpoint.role, of_run=endpoint.of_run)
        if request.method == "GET":
            return answered(await endpoint.answer(visitor, Fields(_queried(request) | _parts(request))))
        async with bodies.reading(request, endpoint.max_body_bytes) as body:
            return answered(await endpoint.answer(visitor, Fields({**read_body(body), **_parts(request)})))

    return _guarding(handle)


def raw_handler(endpoint: RawEndpoint, visitors: Visitors) -> Handling:
    """Serves the requests of an endpoint that moves bytes."""

    async def handle(request: web.Request) -> web.StreamResponse:
        visitor = await visitors.find(request)
        visitor.require(endpoint.role, of_run=endpoint.of_run)
        return await endpoint.serve(visitor, request)

    return _guarding(handle)


async def unknown_endpoint(request: web.Request) -> web.Response:
    """Answers what nobody else does."""
    return told(MlflowError(ENDPOINT_NOT_FOUND, f"There is no {request.method} {request.path} here."))


def _queried(request: web.Request) -> dict[str, Any]:
    queried = {name: request.query.getall(name) for name in request.query}
    return {name: each if len(each) > 1 else each[0] for name, each in queried.items()}


def _parts(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in request.match_info.items() if name != "workspace"}


def _guarding(handle: Handling) -> Handling:
    """Tells the caller of errors, of defects no more than the id of the request."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except MlflowError as error:
            return told(error)
        except Refusal as refusal:
            return told(of_refusal(refusal))
        except RunstreamError as error:
            return told(of_error(error))
        except RecursionError:
            return told(wrong("the request has objects in objects in objects; send fewer layers of them"))
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            logger.exception("request failed", extra={"method": request.method, "path": request.path})
            return told(MlflowError(INTERNAL_ERROR, f"a defect; request {request_id.get()}"))

    return guarded


def answered(answer: Answer) -> web.Response:
    """An answer as it travels."""
    return web.json_response(text=json.dumps(answer, ensure_ascii=False, allow_nan=False))


def told(error: MlflowError) -> web.Response:
    """An error as it travels; it may repeat what the caller sent, also what is no text."""
    message = error.message.encode(errors="backslashreplace").decode()
    body = json.dumps({"error_code": error.code, "message": message}, ensure_ascii=False)
    response = web.json_response(text=body, status=error.status)
    if error.retry_seconds is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_seconds)))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="runstream"'
    return response
