"""The demonstration: a backend of its own, a real training run, and what a user would look at afterwards."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.markup import escape

ROOT = Path(__file__).resolve().parent.parent
RUNSTREAM = Path(sys.executable).with_name("runstream")
TRAIN = ROOT / "clients" / "python" / "examples" / "digits" / "train.py"
START_SECONDS = 60

console = Console(highlight=False)


def say(text: str) -> None:
    """Announces a step."""
    console.print(f"\n[bold cyan]{text}[/]")


@contextmanager
def backend(folder: Path) -> Iterator[dict[str, str]]:
    """Runs a backend on `folder`; yields the environment in which clients find it."""
    environment = {**os.environ, "RUNSTREAM_STATE_DIR": str(folder / "state")}
    for variable in ("RUNSTREAM_ADDRESS", "RUNSTREAM_MODE"):
        environment.pop(variable, None)
    command = [str(RUNSTREAM), "up", "--data", str(folder / "data"), "--port", "0"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        state = ready(folder / "state" / "up.json", process)
        console.print(f"ready after {time.perf_counter() - begun:.1f} s at {state['address']}")
        yield environment
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        console.print(f"stopped, exit code {process.returncode}")


def ready(path: Path, process: "subprocess.Popen[str]") -> dict[str, str]:
    """Waits until the backend says where it is."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if path.exists():
            return dict(json.loads(path.read_text()))
        if process.poll() is not None:
            raise SystemExit(f"the backend did not start:\n{process.communicate()[0]}")
        time.sleep(0.01)
    raise SystemExit(f"the backend was not ready after {START_SECONDS} s")


def show(environment: dict[str, str], *arguments: str, folder: Path | None = None) -> None:
    """Runs a command of the command line, in a folder, and shows both the command and what it prints."""
    console.print(f"\n[bold]$ runstream {escape(' '.join(map(quoted, arguments)))}[/]", soft_wrap=True)
    sys.stdout.flush()
    subprocess.run([str(RUNSTREAM), *arguments], env=environment, cwd=folder, check=True)


def quoted(argument: str) -> str:
    """An argument as one would type it."""
    return f'"{argument}"' if "'" in argument else shlex.quote(argument)


def ask(environment: dict[str, str], *arguments: str) -> str:
    """What a command prints for programs, without quotes."""
    command = [str(RUNSTREAM), *arguments, "-o", "tsv"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def look(environment: dict[str, str]) -> None:
    """Shows what a user would look at."""
    search = ask(environment, "run", "list", "-e", "digits", "--last", "1", "--query", "[0].run_id")
    best = ask(environment, "run", "show", "-r", search, "--query", "tags.best_run")
    show(environment, "run", "list", "-e", "digits", "-o", "table")
    query = "[].{run: run_id, rate: tags.learning_rate, best: contains(keys(tags), 'best')}"
    show(environment, "run", "list", "--parent-run-id", search, "--query", query, "-o", "table")
    show(environment, "run", "show", "-r", best, "-o", "table")
    show(environment, "run", "metrics", "-r", best, "-o", "table")
    show(environment, "run", "monitor-logs", "-r", search)
    show(environment, "artifact", "ls", "-r", best, "-o", "table")


def main() -> None:
    """Records, looks, and leaves nothing behind."""
    begun = time.perf_counter()
    with TemporaryDirectory(prefix="runstream-demo-") as name:
        folder = Path(name)
        project = folder / "digits"
        shutil.copytree(TRAIN.parent, project)
        say("1. Start a backend: Postgres, an S3 server and all services")
        with backend(folder) as environment:
            say("2. Train a classifier of handwritten digits, and record it")
            subprocess.run([sys.executable, "train.py"], cwd=project, env=environment, check=True)
            say("3. Look at what was recorded")
            look(environment)
            say("4. Submit a script, which is executed beside this program, and follow it")
            show(
                environment,
                "run",
                "submit-script",
                "-e",
                "digits",
                "baseline.py",
                "--strategy",
                "uniform",
                folder=project,
            )
            say("5. Stop")
    console.print(
        f"\nDone in {time.perf_counter() - begun:.0f} s. [bold]make up[/] leaves a backend running to explore."
    )


if __name__ == "__main__":
    main()
