"""The command line of the server: `runstream-server`."""

import asyncio
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click

from runstream_server.config import Config
from runstream_server.errors import ConfigurationError, RunstreamError, only_cause
from runstream_server.token_command import make_token_commands

WRONG_CALL = 2
"""Exit code: the command line or a setting is wrong."""

FAILED = 1
"""Exit code: something else went wrong."""

SERVICES = ("runs", "metrics", "logs", "artifacts", "jobs", "gateway")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="runstream-server")
def main() -> None:
    """Run the services of Runstream."""


@main.command(epilog="Example: runstream-server serve --services metrics,logs --peers 127.0.0.1:7878")
@click.option("--services", default="all", show_default=True, help="Which services, separated by commas.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many processes share the port."
)
@click.option(
    "--peers",
    metavar="HOST:PORT",
    help="Where the services reach each other, with grpcs:// in front for TLS. Default: this server.",
)
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
    if peers is not None and config.auth.required and not os.environ.get("RUNSTREAM_SERVICE_KEY"):
        raise click.UsageError("--peers needs RUNSTREAM_SERVICE_KEY, the same in all processes: calls need tokens.")
    _logs(config)
    if migrating:
        _migrate(config)
    if workers == 1:
        _serve(config, chosen, peers)
        return
    if config.server.port == 0 or config.gateway.port == 0:
        raise click.UsageError("--workers needs a fixed RUNSTREAM_PORT and gateway port, since the workers share them.")
    sys.exit(
        _serve_with_workers(replace(config, server=replace(config.server, share_port=True)), chosen, peers, workers)
    )


@main.command(epilog="Example: runstream up --data ./tracking --port 7900")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="RUNSTREAM_DATA",
    help="Folder of everything that is kept. Default: runstream in your folder for data of programs.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    envvar="RUNSTREAM_PORT",
    help="Port to serve on; 0: a free one. Default: the one it had on this folder, or 7878, or a free one.",
)
@click.option(
    "--postgres",
    metavar="DSN",
    envvar="RUNSTREAM_POSTGRES_DSN",
    help="Use this database instead of an embedded one. A DSN with a password is better in RUNSTREAM_POSTGRES_DSN.",
)
@click.option(
    "--s3",
    metavar="URL",
    envvar="RUNSTREAM_S3_ENDPOINT",
    help="Use this S3 server instead of an embedded one; its keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
)
@click.option(
    "--auth",
    is_flag=True,
    help="Let in only who has a token, as RUNSTREAM_AUTH=required does. Your own scripts on this machine have one.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show errors only.")
def up(data: Path | None, port: int | None, postgres: str | None, s3: str | None, auth: bool, quiet: bool) -> None:
    """Run a whole backend on this machine until Ctrl-C, with its data in one folder.

    Scripts and commands on this machine find it by themselves. It needs no configuration and no other server. Exit
    codes: 1 it could not run, 2 wrong call or setting, 3 the folder is in use, 130 stopped before it was ready.
    """
    if sys.platform == "win32":
        raise click.ClickException("runstream up runs on Linux and macOS; on Windows use it inside WSL.")
    from runstream_server.embedded.command import default_data_folder, run_up
    from runstream_server.embedded.up import UpSettings

    folder = (data or default_data_folder()).absolute()
    environment = {**os.environ, "RUNSTREAM_AUTH": "required"} if auth else os.environ
    settings = UpSettings(data=folder, port=port, postgres=postgres, s3=s3, environment=environment)
    sys.exit(run_up(settings, quiet=quiet))


@main.command(epilog="Example: RUNSTREAM_POSTGRES_DSN=postgresql://... runstream-server migrate")
def migrate() -> None:
    """Bring the database to the schema of this version."""
    config = _configuration()
    _logs(config)
    click.echo(f"{_migrate(config)} migrations applied", err=True)


data_of_up = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of a `runstream up` that runs. Default: what variables say, else the one of this user.",
)
"""For commands about what is stored."""


@main.command(name="collect-garbage", epilog="Example: runstream-server collect-garbage --dry-run")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.option(
    "--strays", is_flag=True, help="Also remove objects of two days and more that the database does not know."
)
@click.option(
    "--grace",
    type=click.FloatRange(min=3_600),
    metavar="SECONDS",
    help="How long blobs stay that a client was told of. Default: RUNSTREAM_COLLECT_GRACE_SECONDS, else a day.",
)
@data_of_up
def collect_garbage(dry_run: bool, strays: bool, grace: float | None, data: Path | None) -> None:
    """Remove blobs that nothing refers to from the bucket, and tell in JSON what was removed.

    The services do so themselves from time to time. It may run while they serve.
    """
    from runstream_server.artifacts import upkeep

    config = _configuration_beside_up(data)
    _logs(config)
    seconds = timedelta(seconds=config.artifacts.grace_seconds if grace is None else grace)
    with _told_errors():
        found = asyncio.run(upkeep.collect_garbage(config, seconds, dry_run=dry_run, strays=strays))
    click.echo(json.dumps(found))


@main.command(epilog="Example: runstream-server scrub")
@data_of_up
def scrub(data: Path | None) -> None:
    """Read all blobs, snapshots, logs and metrics again, and tell in JSON which ones were lost or changed.

    Exit code: 1 if there are any. A client that uploads the same file again mends a blob that is damaged. It may run
    while the services serve.
    """
    from runstream_server.artifacts import upkeep
    from runstream_server.logs import scrubbing as logs
    from runstream_server.metrics import scrubbing as metrics

    config = _configuration_beside_up(data)
    _logs(config)
    with _told_errors():
        found = asyncio.run(upkeep.scrub(config))
        found["logs"] = asyncio.run(logs.scrub(config))
        found["metrics"] = asyncio.run(metrics.scrub(config))
    click.echo(json.dumps(found, ensure_ascii=False))
    is_damaged = found["damaged"] or found["damaged_snapshots"]
    sys.exit(FAILED if is_damaged or found["logs"]["damaged_places"] or found["metrics"]["damaged_places"] else 0)


def _chosen(services: str) -> Sequence[str]:
    chosen = SERVICES if services == "all" else tuple(dict.fromkeys(services.split(",")))
    if unknown := [each for each in chosen if each not in SERVICES]:
        raise click.BadParameter(f"no service {unknown[0]!r}; there are {', '.join(SERVICES)}", param_hint="--services")
    return chosen


def _configuration_beside_up(data: Path | None) -> Config:
    """The settings of a command about what is stored, also by a `runstream up` of this machine."""
    from runstream_server.embedded.running import with_servers

    with _told_errors():
        return Config.from_environment(with_servers(data.absolute() if data else None, os.environ))


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

    with _told_errors():
        return asyncio.run(app.migrate_all(config))


def _serve(config: Config, services: Sequence[str], peers: str | None) -> None:
    with _told_errors():
        asyncio.run(_serve_until_told(config, services, peers))


@contextmanager
def _told_errors() -> Iterator[None]:
    """Says what keeps the process from running, and ends it; only what nobody expects becomes a traceback."""
    import asyncpg

    try:
        yield
    except Exception as error:
        cause = only_cause(error)
        if not isinstance(cause, (ConfigurationError, RunstreamError, OSError, asyncpg.PostgresError)):
            raise
        click.echo(f"Error: {cause}", err=True)
        sys.exit(WRONG_CALL if isinstance(cause, ConfigurationError) else FAILED)


async def _serve_until_told(config: Config, services: Sequence[str], peers: str | None) -> None:
    from runstream_server import app

    told = asyncio.Event()
    on_signals(told.set)
    async with app.serve(config, services, peers=peers):
        app.spare_garbage_collection()
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


def _of_worker(config: Config, number: int) -> Config:
    """The settings of one of several workers: each has a port for metrics of its own."""
    port = config.telemetry.metrics_port
    return replace(config, telemetry=replace(config.telemetry, metrics_port=port + number)) if port else config


def _serve_with_workers(config: Config, services: Sequence[str], peers: str | None, count: int) -> int:
    """Runs workers until one ends or this process is told to stop; returns the exit code.

    They are spawned before this process has made any grpc object: grpc does not survive a fork.
    """
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_work, args=(_of_worker(config, number), services, peers), name=f"worker-{number}")
        for number in range(count)
    ]
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


main.add_command(make_token_commands(_told_errors, data_of_up))
