"""The job service: takes submitted runs, and gives them to those who execute them.

A job is held by one runner at a time, under a lease. Whoever takes a job away raises its lease first, so what its
former holder says is refused. The run itself lives in the run history; a job says in its own row what is to become of
its run before the run is told, so that a crash in between is made good.
"""

from pathlib import Path

from runstream_server.jobs.mount import mount

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = ["MIGRATIONS", "mount"]
