"""A server in a process of its own, to be killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from runstream_server.config import Config

COMMAND = (str(Path(sys.executable).with_name("runstream-server")), "serve", "--no-migrate")
START_SECONDS = 60
END_SECONDS = 30


class ServerProcess:
    """A server, replaced by another one at the same address when it is killed and started again."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._process: asyncio.subprocess.Process | None = None
        self._lines: asyncio.Task[None] | None = None
        self.address = "127.0.0.1:0"

    async def start(self) -> None:
        """Starts a process and waits until it serves."""
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND, env=self._environment(), stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        said = b""
        async with asyncio.timeout(START_SECONDS):
            async for line in self._process.stderr:
                said += line
                _show(line)
                event = json.loads(line) if line.startswith(b"{") else {}
                if event.get("event") == "serving":
                    self.address = event["address"]
                    break
            else:
                raise RuntimeError(f"the server did not start: {said.decode()}")
        self._lines = asyncio.create_task(_show_all(self._process.stderr))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs a process, or its successors, while the context is open."""
        await self.start()
        try:
            yield
        finally:
            await self.kill()

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """Kills the process."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Has the process end by itself, as an orchestrator does; returns its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        assert self._lines is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        async with asyncio.timeout(END_SECONDS):
            code = await self._process.wait()
            await self._lines
        return code

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "RUNSTREAM_POSTGRES_DSN": self.config.postgres.dsn,
            "RUNSTREAM_S3_ENDPOINT": self.config.bucket.endpoint,
            "RUNSTREAM_S3_PUBLIC_ENDPOINT": self.config.bucket.public_endpoint,
            "RUNSTREAM_S3_ACCESS_KEY": self.config.bucket.access_key,
            "RUNSTREAM_S3_SECRET_KEY": self.config.bucket.secret_key,
            "RUNSTREAM_S3_BUCKET": self.config.bucket.bucket,
            **self._certificate(),
            "RUNSTREAM_PORT": self.address.rpartition(":")[2],
            "RUNSTREAM_GATEWAY_PORT": str(self.config.gateway.port),
            "RUNSTREAM_DRAIN_SECONDS": str(self.config.server.drain_seconds),
            "RUNSTREAM_KUBERNETES_CLUSTERS": " ".join(
                f"{cluster.name}={cluster.kubeconfig}" for cluster in self.config.kubernetes.clusters
            ),
            "RUNSTREAM_KUBERNETES_SERVICE_ADDRESS": self.config.kubernetes.service_address,
            "RUNSTREAM_KUBERNETES_LEAD_SECONDS": str(self.config.kubernetes.lead_seconds),
            "RUNSTREAM_MAINTENANCE_SHARE": str(self.config.maintenance.share),
            "RUNSTREAM_SEAL_QUIET_SECONDS": str(self.config.maintenance.seal_quiet_seconds),
            "RUNSTREAM_LOG_SEAL_BYTES": str(self.config.maintenance.log_seal_bytes),
            "RUNSTREAM_AUTH": "required" if self.config.auth.required else "none",
            "RUNSTREAM_SERVICE_KEY": self.config.auth.service_key,
            "RUNSTREAM_RUN_TOKEN_SECONDS": str(self.config.auth.run_token_seconds),
            "RUNSTREAM_AUTH_CHECK_SECONDS": str(self.config.auth.check_seconds),
            "RUNSTREAM_JOBS_LEASE_SECONDS": str(self.config.jobs.lease_seconds),
            "RUNSTREAM_JOBS_START_SECONDS": str(self.config.jobs.start_seconds),
            "RUNSTREAM_JOBS_LOST_SECONDS": str(self.config.jobs.lost_seconds),
            "RUNSTREAM_JOBS_REPORT_SECONDS": str(self.config.jobs.report_seconds),
        }

    def _certificate(self) -> dict[str, str]:
        tls = self.config.server.tls
        return {"RUNSTREAM_TLS_CERTIFICATE": str(tls.certificate), "RUNSTREAM_TLS_KEY": str(tls.key)} if tls else {}


async def _show_all(lines: asyncio.StreamReader) -> None:
    async for line in lines:
        _show(line)


def _show(line: bytes) -> None:
    """Shows what a server said: pytest keeps it for tests that fail."""
    print(line.decode(errors="replace"), end="", file=sys.stderr)
