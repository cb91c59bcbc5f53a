"""A real API server of Kubernetes: `make kubernetes-test` builds the program. Tests do what its controllers would."""

import json
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from tests.conditions import until_answered, wait_until

PROGRAM: Final = Path(__file__).parents[1] / ".tools" / "bin" / "kubernetes-server"
GUIDE: Final = Path(__file__).parents[1] / "docs" / "kubernetes.md"
ADMIN, SERVICE_USER = "admin", "runstream"
GROUPS: Final = {"jobs": "apis/batch/v1", "roles": "apis/rbac.authorization.k8s.io/v1"}
BINDING: Final = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "runstream-jobs"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "runstream-jobs"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": SERVICE_USER}],
}
Object = dict[str, Any]


@dataclass(frozen=True)
class ApiServer:
    """Where the server is, and who may do what there."""

    url: str
    certificate: Path
    token: str

    def kubeconfig(self, folder: Path) -> Path:
        """What leads the services there, as a user who may do nothing yet."""
        file = folder / "kubeconfig.yaml"
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        user = {"token": token_of(SERVICE_USER)}
        context = {"cluster": "real", "user": "service"}
        named = {"clusters": ("cluster", "real", cluster), "users": ("user", "service", user)}
        lists = {key: [{"name": name, kind: value}] for key, (kind, name, value) in named.items()}
        contexts = [{"name": "real", "context": context}]
        file.write_text(json.dumps({"current-context": "real", "contexts": contexts, **lists}))
        return file


@dataclass
class Namespace:
    """A namespace of a test's own, and what somebody may do there who may do everything."""

    client: httpx2.AsyncClient
    name: str = field(default_factory=lambda: f"ml-{uuid.uuid4().hex[:12]}")

    async def make(self) -> None:
        """Makes it."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        _checked(await self.client.post("/api/v1/namespaces", json=namespace))

    async def grant(self) -> None:
        """Gives the services the rights of the guide, and no others."""
        role = documented_role() | {"metadata": {"name": "runstream-jobs"}}
        for plural, object_ in (("roles", role), ("rolebindings", BINDING)):
            path = f"/{GROUPS['roles']}/namespaces/{self.name}/{plural}"
            _checked(await self.client.post(path, json=object_))

    async def of(self, plural: str) -> list[Object]:
        """All objects of a kind."""
        items: list[Object] = _checked(await self.client.get(self._path(plural)))["items"]
        return items

    async def only(self, plural: str) -> Object:
        """The only object of a kind, as soon as it is there."""
        await until_answered(lambda: self._count_is(plural, 1))
        return (await self.of(plural))[0]

    async def none(self, plural: str) -> None:
        """Returns when there is no object of a kind."""
        await until_answered(lambda: self._count_is(plural, 0))

    async def remove(self, plural: str, name: str) -> None:
        """Removes an object, as `kubectl` does."""
        options = {"propagationPolicy": "Background"}
        _checked(await self.client.delete(f"{self._path(plural)}/{name}", params=options))

    async def make_pod(self, job: Object, **status: Any) -> str:
        """Makes the first pod of a Job, as the controller of Jobs would; returns its name."""
        template, name = job["spec"]["template"], f"{job['metadata']['name']}-0-abcde"
        index = {"batch.kubernetes.io/job-completion-index": "0"}
        annotations = template["metadata"].get("annotations", {}) | index
        metadata = template["metadata"] | {"name": name, "annotations": annotations}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        _checked(await self.client.post(self._path("pods"), json=pod))
        await self.set_status("pods", name, **status)
        return name

    async def set_status(self, plural: str, name: str, **status: Any) -> None:
        """Changes the status of an object."""
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"{self._path(plural)}/{name}/status"
        _checked(await self.client.patch(path, content=json.dumps({"status": status}), headers=headers))

    def _path(self, plural: str) -> str:
        return f"/{GROUPS.get(plural, 'api/v1')}/namespaces/{self.name}/{plural}"

    async def _count_is(self, plural: str, count: int) -> bool:
        return len(await self.of(plural)) == count


def documented_role() -> Object:
    """The Role that the guide tells people to make."""
    text = GUIDE.read_text("utf-8")
    block = text[: text.index("resources: [secrets]")].rpartition("```yaml")[2]
    lines = text[text.index(block) :].partition("```")[0]
    role: Object = yaml.safe_load(lines)
    return role


def token_of(user: str) -> str:
    """The token by which the server knows a user."""
    return f"token-of-{user}"


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """A server without objects, while the context is open."""
    folder.mkdir()
    port = _free_port()
    key, users = folder / "key.pem", folder / "users.csv"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    users.write_text(f'{token_of(ADMIN)},{ADMIN},1,"system:masters"\n{token_of(SERVICE_USER)},{SERVICE_USER},2\n')
    command = [str(PROGRAM), str(folder), *(f"--{flag}={value}" for flag, value in _flags(folder, port).items())]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            server = ApiServer(f"https://127.0.0.1:{port}", folder / "certificates" / "apiserver.crt", token_of(ADMIN))
            wait_until(lambda: _is_ready(server, process))
            yield server
        finally:
            process.kill()


def open_client(server: ApiServer) -> httpx2.AsyncClient:
    """Somebody who may do everything."""
    headers = {"Authorization": f"Bearer {server.token}"}
    return httpx2.AsyncClient(base_url=server.url, headers=headers, verify=_context(server), trust_env=False)


def _flags(folder: Path, port: int) -> Mapping[str, object]:
    key = folder / "key.pem"
    return {
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder / "certificates",
        "authorization-mode": "RBAC",
        "token-auth-file": folder / "users.csv",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-signing-key-file": key,
        "service-account-key-file": key,
        "service-cluster-ip-range": "10.0.0.0/24",
        "disable-admission-plugins": "ServiceAccount",
        "endpoint-reconciler-type": "none",
    }


def _is_ready(server: ApiServer, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "the API server ended"
    if not server.certificate.exists():
        return False
    try:
        headers = {"Authorization": f"Bearer {server.token}"}
        answer = httpx2.get(f"{server.url}/readyz", headers=headers, verify=_context(server), trust_env=False)
    except (httpx2.HTTPError, ssl.SSLError):
        return False
    return answer.status_code == HTTPStatus.OK


def _context(server: ApiServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.certificate))


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


def _checked(answer: httpx2.Response) -> Object:
    assert answer.is_success, answer.text
    content: Object = answer.json()
    return content
