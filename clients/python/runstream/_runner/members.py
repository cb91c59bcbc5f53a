"""The processes of a job as they are told of: who they are, and how they ended."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstream._runner.children import Child


@dataclass
class Member:
    """A process of the job, which was started here."""

    name: str
    """For people: `process 0`."""
    log: Path
    child: Child
    start_time_ns: int
    end_time_ns: int = 0
    is_helper: bool = False
    """Whether it is ended when the others are done."""
    is_stopped: bool = False
    """Whether it was asked to end before it did."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    @property
    def code(self) -> int | None:
        """Its exit code, negative: the signal that killed it. None: it has not ended."""
        return self.child.ended.result() if self.child.ended.done() else None

    def refresh(self) -> None:
        """Takes note of what is known by now."""


@dataclass
class Rank:
    """A process of the job that `mpirun` started; `refresh` reads what was written down of it."""

    name: str
    log: Path
    status: Path
    start_time_ns: int = 0
    end_time_ns: int = 0
    is_stopped: bool = False
    pid: int = 0
    """0: not known."""
    code: int | None = None

    def refresh(self) -> None:
        """Takes note of what is known by now."""
        try:
            known = json.loads(self.status.read_text("utf-8"))
        except (OSError, ValueError):
            return
        self.pid = known["pid"]
        self.start_time_ns = known.get("start", self.start_time_ns)
        self.end_time_ns = known.get("end", 0)
        self.code = known.get("code")


Told = Member | Rank


def statuses(members: Sequence[Told]) -> list[dict[str, Any]]:
    """What stands in `process_status.json`."""
    for member in members:
        member.refresh()
    return [
        {
            "name": member.name,
            "time": moment(member.end_time_ns or member.start_time_ns),
            "status": _status(member),
            "exitCode": member.code,
        }
        for member in members
    ]


def terminated(known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What stands in `process_status.json`, after processes of which nothing more is known were killed."""
    now = moment(time.time_ns())
    return [each if each["status"] != "Started" else {**each, "status": "Terminated", "time": now} for each in known]


def infos(members: Sequence[Told], host: str) -> list[dict[str, Any]]:
    """What stands in `process_info.json`."""
    for member in members:
        member.refresh()
    return [
        {
            "name": member.name,
            "node": host,
            "pid": member.pid or None,
            "address": host,
            "log": f"user_logs/{member.log.name}",
        }
        for member in members
    ]


def moment(time_ns: int) -> str:
    """A time as SDK v1 writes it."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06}Z"


def _status(member: Told) -> str:
    if member.code == 0:
        return "Completed"
    if member.is_stopped:
        return "Terminated"
    return "Started" if member.code is None else "Failed"
