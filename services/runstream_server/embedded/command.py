"""What a person sees of `runstream up`: progress, where it is, what to do next, and errors with a remedy."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
import platformdirs

from runstream_server.embedded.errors import EmbeddedError, FolderInUse
from runstream_server.embedded.state import read_state
from runstream_server.embedded.up import Up, UpSettings
from runstream_server.errors import ConfigurationError, RunstreamError, only_cause

EXPECTED = (ConfigurationError, EmbeddedError, RunstreamError, OSError)
"""What can keep a backend from running without being a defect of ours."""

FAILED = 1
INTERRUPTED = 130
EXIT_CODES = {ConfigurationError: 2, FolderInUse: 3}

READY = """
Runstream is ready.

  Address  {address}
  Data     {data}
  Logs     {logs}
{mlflow}{tokens}
A script of yours on this machine finds it by itself:

  from runstream.core import Experiment, Workspace

  with Experiment(Workspace.get("default"), "first-steps").start_logging() as run:
      run.log("loss", 0.25)

Ctrl-C stops it; the data stays.
"""

MLFLOW = """  MLflow   {url}
"""

TOKENS = """  Tokens   are needed; your scripts on this machine have one, others get theirs by `runstream token create`
"""


def default_data_folder() -> Path:
    """Where data is kept unless said otherwise: what is usual for the platform, and for root, for a service."""
    if os.geteuid() == 0 and sys.platform == "linux":
        return Path("/var/lib/runstream")
    return platformdirs.user_data_path("runstream")


def run_up(settings: UpSettings, *, quiet: bool) -> int:
    """Runs a backend until told to stop; returns the exit code."""
    show = _nothing if quiet else _show
    try:
        return asyncio.run(_until_told(settings, show))
    except (*EXPECTED, ExceptionGroup) as error:
        cause = only_cause(error)
        if not isinstance(cause, EXPECTED):
            raise
    click.echo(f"Error: {_who_uses(cause) if isinstance(cause, FolderInUse) else cause}", err=True)
    return next((code for kind, code in EXIT_CODES.items() if isinstance(cause, kind)), FAILED)


async def _until_told(settings: UpSettings, show: Callable[[str], None]) -> int:
    def ready(address: str, gateway: str) -> None:
        tokens = TOKENS if settings.environment.get("RUNSTREAM_AUTH") == "required" else ""
        mlflow = MLFLOW.format(url=gateway) if gateway else ""
        show(READY.format(address=address, data=settings.data, logs=settings.logs, mlflow=mlflow, tokens=tokens))

    up = Up(settings, say=show, ready=ready)
    _on_signals(lambda: _told(up))
    try:
        await up.run()
    except asyncio.CancelledError:
        if not up.stopping.is_set():
            raise
        return INTERRUPTED
    show("Stopped.")
    return 0


def _on_signals(stop: Callable[[], None]) -> None:
    """Calls `stop` on Ctrl-C, on SIGTERM, and when the terminal is closed unless nohup protects from that."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop)


def _told(up: Up) -> None:
    """Stops in good order; when told again, at once."""
    if up.stopping.is_set():
        up.kill()
        os._exit(INTERRUPTED)
    up.stop()


def _who_uses(error: FolderInUse) -> str:
    state = read_state(error.folder / "up.json")
    if state.get("pid") != error.pid:
        return str(error)
    address = state.get("address")
    return f"{error.folder} is served already, at {address} by process {error.pid}; use that, or give another --data"


def _show(text: str) -> None:
    with suppress(OSError):  # nobody looks any more
        click.echo(text)


def _nothing(text: str) -> None:
    """Shows nothing."""
