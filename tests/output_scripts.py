"""Scripts that print for real while what they print is recorded."""

import os
import subprocess
import sys
from pathlib import Path

START = """
import io, logging, os, signal, subprocess, sys, threading
from pathlib import Path
from runstream._output import the_tap
from runstream._output.tap import Record

def record(folder, *, first=0, step=1, limit=2**30):
    folder = Path(folder).absolute()
    folder.mkdir()
    name = f"std_log_process_{first:02}.txt" if first else "std_log.txt"
    (folder / name).touch()
    the_tap().record(
        Record(folder=str(folder), process=os.getpid(), first=first, step=step, limit=limit), folder / name
    )

def leave(folder):
    the_tap().leave(str(Path(folder).absolute()))

def forked(work):
    child = os.fork()
    if child == 0:
        work()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)

def tee():
    (process,) = the_tap()._tees
    return process
"""
IGNORED = "ignore:This process:DeprecationWarning"
"""Newer Pythons warn of forks, which these tests are about."""


def play(folder: Path, code: str, *, code_out: int = 0) -> tuple[str, str]:
    """Runs a script in a folder; what it shows on stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-W", IGNORED, "-c", START + code],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=60,
        check=False,
    )
    assert done.returncode == code_out, done.stderr
    return done.stdout, done.stderr


def log(folder: Path, name: str = "std_log.txt") -> str:
    return (folder / name).read_bytes().decode()
