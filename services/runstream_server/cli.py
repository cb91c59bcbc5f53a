"""The command line of the server: `runstream-server`."""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import click

from runstream_server.config import Config
from runstream_server.errors import ConfigurationError

WRONG_CALL = 2
"""Exit code: the command line or a setting is wrong."""

SERVICES = ("runs", "metrics", "logs", "artifacts", "jobs")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="runstream-server")
def main() -> None:
    """Run the services of Runstream."""


@main.command(epilog="Example: runstream-server serve --services metrics,logs --peers 127.0.0.1:7878")
@click.option("--services", default="all", show_default=True, help="Which services, separated by commas.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many processes share the port."
)
@click.option("--peers", metavar="HOST:PORT", help="Where the services reach each other. Default: this server.")
@click.option(
    "--migrate/--no-migrate", "migrating", default=True, show_default=True, help="Bring the database up to date first."
)
def serve(services: str, workers: int, peers: str | None, migrating: bool) -> None:
    """Serve against a given Postgres and bucket until told to stop.

    Settings come from RUNSTREAM_* variables, among them RUNSTREAM_POSTGRES_DSN and RUNSTREAM_S3_ENDPOINT.
    """
    chosen = _chosen(services)
    if peers is None and set(chosen) != set(SERVICES):
        raise click.UsageError("--peers is needed unless all services are served here: they call each other.")
    config = _configuration()
    _logs(config)
    if migrating:
        _migrate(config)
    if workers == 1:
        _serve(config, chosen, peers)
        return
    if config.server.port == 0:
        raise click.UsageError("--workers needs a fixed RUNSTREAM_PORT, since the workers share it.")
    sys.exit(
        _serve_with_workers(replace(config, server=replace(config.server, share_port=True)), chosen, peers, workers)
    )


@main.command(epilog="Example: RUNSTREAM_POSTGRES_DSN=postgresql://... runstream-server migrate")
def migrate() -> None:
    """Bring the database to the schema of this version."""
    config = _configuration()
    _logs(config)
    click.echo(f"{_migrate(config)} migrations applied", err=True)


def _chosen(services: str) -> Sequence[str]:
    chosen = SERVICES if services == "all" else tuple(dict.fromkeys(services.split(",")))
    if unknown := [each for each in chosen if each not in SERVICES]:
        raise click.BadParameter(f"no service {unknown[0]!r}; there are {', '.join(SERVICES)}", param_hint="--services")
    return chosen


def _configuration() -> Config:
    try:
        return Config.from_environment(os.environ)
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(WRONG_CALL)


def _logs(config: Config) -> None:
    from runstream_server.telemetry import configure_logs

    configure_logs(config.telemetry.log_level)


def _migrate(config: Config) -> int:
    from runstream_server import app

    try:
        return asyncio.run(app.migrate_all(config))
    except (ConfigurationError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(WRONG_CALL)


def _serve(config: Config, services: Sequence[str], peers: str | None) -> None:
    try:
        asyncio.run(_serve_until_told(config, services, peers))
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(WRONG_CALL)


async def _serve_until_told(config: Config, services: Sequence[str], peers: str | None) -> None:
    from runstream_server import app

    told = asyncio.Event()
    on_signals(told.set)
    async with app.serve(config, services, peers=peers):
        await told.wait()


def on_signals(stop: Callable[[], None]) -> None:
    """Calls `stop` on SIGINT and SIGTERM, instead of what Python does."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _work(config: Config, services: Sequence[str], peers: str | None) -> None:
    from runstream_server.telemetry import configure_logs

    configure_logs(config.telemetry.log_level)
    _serve(config, services, peers)


def _serve_with_workers(config: Config, services: Sequence[str], peers: str | None, count: int) -> int:
    """Runs workers until one ends or this process is told to stop; returns the exit code.

    They are spawned before this process has made any grpc object: grpc does not survive a fork.
    """
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_work, args=(config, services, peers), name=f"worker-{n}") for n in range(count)]
    told = False

    def stop(*_: object) -> None:
        nonlocal told
        told = True
        for worker in workers:
            worker.terminate()

    for worker in workers:
        worker.start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    multiprocessing.connection.wait([worker.sentinel for worker in workers])
    ended_by_itself = not told
    stop()
    for worker in workers:
        worker.join()
    return 1 if ended_by_itself else 0
