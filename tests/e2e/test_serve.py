"""`runstream-server serve` as a process."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runstream_server.config import BucketConfig, Config

SERVER = Path(sys.executable).with_name("runstream-server")
SECONDS = 60


def environment(config: Config, **more: str) -> dict[str, str]:
    """The variables that say what `config` says."""
    bucket: BucketConfig = config.bucket
    return {
        **os.environ,
        "RUNSTREAM_POSTGRES_DSN": config.postgres.dsn,
        "RUNSTREAM_S3_ENDPOINT": bucket.endpoint,
        "RUNSTREAM_S3_ACCESS_KEY": bucket.access_key,
        "RUNSTREAM_S3_SECRET_KEY": bucket.secret_key,
        "RUNSTREAM_S3_BUCKET": bucket.bucket,
        "RUNSTREAM_PORT": "0",
        "RUNSTREAM_GATEWAY_PORT": "0",
        "RUNSTREAM_DRAIN_SECONDS": "1",
        **more,
    }


@asynccontextmanager
async def process(variables: Mapping[str, str], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `runstream-server` that is gone at the end."""
    server = await asyncio.create_subprocess_exec(
        str(SERVER), *arguments, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield server
    finally:
        if server.returncode is None:
            server.kill()
        await server.communicate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def health(port: int) -> Any:
    """The answer of the server, waited for."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        return await stub.Check(request, timeout=SECONDS, wait_for_ready=True)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_serves_until_it_is_told_to_stop(config: Config, workers: str) -> None:
    port = free_port()
    variables = environment(config, RUNSTREAM_PORT=str(port), RUNSTREAM_GATEWAY_PORT=str(free_port()))
    async with process(variables, "serve", "--workers", workers) as server:
        assert (await health(port)).status == health_pb2.HealthCheckResponse.SERVING
        server.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(server.communicate(), SECONDS)

    assert server.returncode == 0, errors.decode()


async def test_a_second_server_on_the_port_is_refused(config: Config) -> None:
    port = free_port()
    variables = environment(config, RUNSTREAM_PORT=str(port))
    async with process(variables, "serve"):
        await health(port)
        async with process(variables, "serve") as second:
            _, errors = await asyncio.wait_for(second.communicate(), SECONDS)

    assert second.returncode == 2
    assert f"port {port} of 127.0.0.1 is taken" in errors.decode()


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("RUNSTREAM_POSTGRES_DSN", "", "RUNSTREAM_POSTGRES_DSN: not set"),
        ("RUNSTREAM_HOST", "0.0.0.0", "RUNSTREAM_HOST: other machines reach '0.0.0.0'"),
        ("RUNSTREAM_PORT", "x", "RUNSTREAM_PORT: expected a whole number"),
        ("RUNSTREAM_S3_ENDPOINT", "http://127.0.0.1:1", "RUNSTREAM_S3_ENDPOINT"),
    ],
)
async def test_a_wrong_setting_stops_the_start_and_is_named(
    config: Config, variable: str, value: str, problem: str
) -> None:
    async with process(environment(config, **{variable: value}), "serve") as server:
        _, errors = await asyncio.wait_for(server.communicate(), SECONDS)

    assert server.returncode == 2
    assert problem in errors.decode()


@pytest.mark.parametrize("command", ["serve", "migrate"])
async def test_a_database_that_is_not_there_stops_the_start_without_a_traceback(config: Config, command: str) -> None:
    dsn = urlsplit(config.postgres.dsn)._replace(path="/nowhere").geturl()
    async with process(environment(config, RUNSTREAM_POSTGRES_DSN=dsn), command) as server:
        _, errors = await asyncio.wait_for(server.communicate(), SECONDS)

    assert server.returncode == 1
    assert 'Error: database "nowhere" does not exist' in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_an_unknown_service_is_refused(config: Config) -> None:
    async with process(environment(config), "serve", "--services", "runs,cooking") as server:
        _, errors = await asyncio.wait_for(server.communicate(), SECONDS)

    assert server.returncode == 2
    assert "no service 'cooking'" in errors.decode()
