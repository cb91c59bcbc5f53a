"""An API server of Kubernetes: the endpoints that the services use, with versions, watches and their errors."""

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

TOKEN = "token-of-the-service"
JOB, POD, SECRET, SERVICE = "jobs", "pods", "secrets", "services"
Object = dict[str, Any]

_API = {JOB: "/apis/batch/v1", POD: "/api/v1", SECRET: "/api/v1", SERVICE: "/api/v1"}
_KINDS = {JOB: ("batch/v1", "Job"), POD: ("v1", "Pod"), SECRET: ("v1", "Secret"), SERVICE: ("v1", "Service")}


async def _nothing(method: str, plural: str) -> None:
    """Lets a request pass."""


class Refusal(Exception):
    """An error that the server answers with."""

    def __init__(self, code: int, reason: str, message: str = "") -> None:
        self.code, self.reason, self.message = code, reason, message or reason


class KubernetesApi:
    """The objects of a cluster, and who watches them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.calls: list[tuple[str, str, str]] = []
        """Method, plural and name of each request that changes something."""

        self.logs: dict[str, str] = {}
        self.before: Callable[[str, str], Awaitable[None]] = _nothing
        """Awaited before each request is obeyed; may raise Refusal."""

        self.after: Callable[[str, str], Awaitable[None]] = _nothing
        """Awaited before each answer."""

        self.changed = asyncio.Condition()
        self._version = itertools.count(1)
        self._last = 0
        self._events: list[tuple[int, str, str, Object]] = []
        self._oldest = 0
        self._severed = 0

    # What a test does with the cluster

    def of(self, plural: str) -> list[Object]:
        """All objects of a kind, by name."""
        return [each for (kind, _, _), each in sorted(self.objects.items()) if kind == plural]

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Waits until something is so in the cluster; returns what it is."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(condition)
            return condition()

    async def job(self) -> Object:
        """The only Job, as soon as it is there with its Secret."""
        await self.until(lambda: self.of(JOB) and self.of(SECRET))
        (job,) = self.of(JOB)
        return job

    async def set_status(self, plural: str, name: str, **status: Any) -> None:
        """Changes the status of an object."""
        key = next(key for key in self.objects if key[0] == plural and key[2] == name)
        changed = json.loads(json.dumps(self.objects[key]))
        changed.setdefault("status", {}).update(status)
        await self.put(key, changed)

    async def make_pod(self, job: Object, index: int = 0, **status: Any) -> str:
        """Makes a pod of a Job, as the cluster's controller would; returns its name."""
        name, template = f"{job['metadata']['name']}-{index}-abcde", job["spec"]["template"]
        annotations = template["metadata"].get("annotations", {}) | {
            "batch.kubernetes.io/job-completion-index": str(index)
        }
        metadata = template["metadata"] | {"name": name, "annotations": annotations, "creationTimestamp": _now()}
        node = {"nodeName": status.pop("node")} if "node" in status else {}
        pod = {"metadata": metadata, "spec": template["spec"] | node, "status": {"phase": "Pending"} | status}
        await self.put((POD, job["metadata"]["namespace"], name), pod)
        return name

    async def put(self, key: tuple[str, str, str], object_: Object) -> None:
        """Stores an object, and tells who watches."""
        what = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = object_
        await self._tell(what, key[0], object_)

    async def remove(self, plural: str, name: str) -> None:
        """Removes an object, and what it owns, and tells who watches."""
        key = next((key for key in self.objects if key[0] == plural and key[2] == name), None)
        if key is None:
            raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
        removed = self.objects.pop(key)
        await self._tell("DELETED", plural, removed)
        uid = removed["metadata"].get("uid")
        for owned_kind, _, owned in [*self.objects]:
            metadata = self.objects[owned_kind, key[1], owned]["metadata"]
            owners = {owner["uid"] for owner in metadata.get("ownerReferences", ())}
            is_pod_of = owned_kind == POD and plural == JOB and owned.startswith(f"{name}-")
            if uid in owners or is_pod_of:
                await self.remove(owned_kind, owned)

    async def forget_events(self) -> None:
        """Cuts all watches, and lets versions from before be too old to watch from."""
        self._oldest = self._last = next(self._version)
        self._events.clear()
        await self.cut()

    async def cut(self) -> None:
        """Cuts all watches."""
        self._severed += 1
        async with self.changed:
            self.changed.notify_all()

    async def _tell(self, what: str, plural: str, object_: Object) -> None:
        self._last = next(self._version)
        object_["metadata"]["resourceVersion"] = str(self._last)
        self._events.append((self._last, what, plural, json.loads(json.dumps(object_))))
        async with self.changed:
            self.changed.notify_all()

    # What it answers

    def application(self) -> web.Application:
        """The endpoints."""
        application = web.Application(middlewares=[self._checked])
        for plural, api in _API.items():
            path = f"{api}/namespaces/{{namespace}}/{{plural:{plural}}}"
            application.router.add_get(path, self._list)
            application.router.add_post(path, self._create)
            application.router.add_get(f"{path}/{{name}}", self._get)
            application.router.add_delete(f"{path}/{{name}}", self._delete)
            application.router.add_patch(f"{path}/{{name}}", self._patch)
        application.router.add_get("/api/v1/namespaces/{namespace}/{plural:pods}/{name}/log", self._log)
        return application

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        plural, name = request.match_info.get("plural", ""), request.match_info.get("name", "")
        try:
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refusal(401, "Unauthorized")
            if request.method != "GET":
                self.calls.append((request.method, plural, name))
            await self.before(request.method, plural)
            response: web.StreamResponse = await handler(request)
            await self.after(request.method, plural)
            return response
        except Refusal as refusal:
            return _answer(_status(refusal), status=refusal.code)

    async def _create(self, request: web.Request) -> web.Response:
        object_, namespace = await request.json(), request.match_info["namespace"]
        key = (request.match_info["plural"], namespace, object_["metadata"]["name"])
        if key in self.objects:
            raise Refusal(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
        object_["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": namespace, "creationTimestamp": _now()}
        await self.put(key, object_)
        return _answer(object_, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return _answer(self._found(request))

    async def _delete(self, request: web.Request) -> web.Response:
        self._found(request)
        await self.remove(request.match_info["plural"], request.match_info["name"])
        return _answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    async def _patch(self, request: web.Request) -> web.Response:
        if request.headers["Content-Type"] != "application/merge-patch+json":
            raise Refusal(415, "UnsupportedMediaType")
        patched = _merged(self._found(request), await request.json())
        await self.put(self._key(request), patched)
        return _answer(patched)

    async def _log(self, request: web.Request) -> web.Response:
        self._found(request)
        text = self.logs.get(request.match_info["name"])
        if text is None:
            raise Refusal(400, "BadRequest", "container is not available")
        lines = text.splitlines(keepends=True)[-int(request.query["tailLines"]) :]
        return web.Response(text="".join(lines))

    def _key(self, request: web.Request) -> tuple[str, str, str]:
        plural, namespace, name = (request.match_info[part] for part in ("plural", "namespace", "name"))
        return plural, namespace, name

    def _found(self, request: web.Request) -> Object:
        key = self._key(request)
        if key not in self.objects:
            raise Refusal(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return self.objects[key]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request)
        plural, namespace = request.match_info["plural"], request.match_info["namespace"]
        found = [
            each
            for (kind, place, _), each in sorted(self.objects.items())
            if (kind, place) == (plural, namespace) and _matches(each, request)
        ]
        start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0) or len(found)
        metadata = {"resourceVersion": str(self._last)}
        if start + limit < len(found):
            metadata["continue"] = str(start + limit)
        version, kind = _KINDS[plural]
        items = found[start : start + limit]
        return _answer({"kind": f"{kind}List", "apiVersion": version, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since, severed = int(request.query["resourceVersion"]), self._severed
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if since < self._oldest:
            gone = _status(Refusal(410, "Expired", "too old resource version"))
            await response.write(_line("ERROR", gone))
            return response
        while severed == self._severed:
            seen = self._last
            for version, what, plural, object_ in [*self._events]:
                if version > since and plural == request.match_info["plural"] and _matches(object_, request):
                    await response.write(_line(what, object_))
            since = seen
            bookmark = {"kind": "Bookmark", "metadata": {"resourceVersion": str(since)}}
            await response.write(_line("BOOKMARK", bookmark))
            async with self.changed:
                while severed == self._severed and self._last == seen:
                    await self.changed.wait()
        return response


def _merged(object_: Object, changes: Object) -> Object:
    """An object with a JSON merge patch, in which nothing is removed."""
    merged = {key: _merged(object_[key], value) for key, value in changes.items() if isinstance(value, dict)}
    return object_ | changes | merged


def _answer(object_: Object, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(object_).encode(), content_type="application/json", status=status)


def _matches(object_: Object, request: web.Request) -> bool:
    wanted = dict(part.split("=") for part in request.query.get("labelSelector", "").split(",") if part)
    labels: Mapping[str, str] = object_["metadata"].get("labels") or {}
    return wanted.items() <= labels.items()


def _line(what: str, object_: Object) -> bytes:
    return json.dumps({"type": what, "object": object_}).encode() + b"\n"


def _status(refusal: Refusal) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": refusal.code,
        "reason": refusal.reason,
        "message": refusal.message,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@asynccontextmanager
async def kubernetes_api(folder: Path) -> AsyncIterator[tuple[KubernetesApi, Path]]:
    """A cluster without objects, and the kubeconfig that leads to it, while the context is open."""
    api = KubernetesApi()
    runner = web.AppRunner(api.application(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    kubeconfig = folder / "kubeconfig.yaml"
    kubeconfig.write_text(json.dumps(_kubeconfig(f"http://127.0.0.1:{port}", TOKEN)))
    try:
        yield api, kubeconfig
    finally:
        await api.cut()
        await runner.cleanup()


def _kubeconfig(server: str, token: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "good",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [
            {"name": "service", "user": {"token": token}},
            {"name": "stranger", "user": {"token": "wrong"}},
        ],
        "contexts": [
            {"name": "good", "context": {"cluster": "test", "user": "service"}},
            {"name": "stranger", "context": {"cluster": "test", "user": "stranger"}},
        ],
    }
