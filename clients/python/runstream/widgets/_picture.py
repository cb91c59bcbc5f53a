"""What a widget shows, in sections that are replaced as a whole when they change."""

import asyncio
import time
from typing import Any, Final

from runstream.api.runs.v1 import run_pb2
from runstream.core._labels import from_tags
from runstream.core._run.record import run_id
from runstream.core._status import status_name

Section = dict[str, Any]

RECORD: Final = "record"
CHARTS: Final = "charts"
LOG_TAIL: Final = "log_tail"
CHILD_RUNS: Final = "child_runs"
LINK: Final = "link"
SECTIONS: Final = (RECORD, CHARTS, LOG_TAIL, CHILD_RUNS, LINK)

LIVE: Final = "live"
AWAY: Final = "away"
ENDED: Final = "ended"
FAILED: Final = "failed"

SHOWN_CHILD_METRICS: Final = 20
SHOWN_WARNINGS: Final = 20


class Picture:
    """Sections of JSON values, apart from the columns of curves, which are bytes. It belongs to one event loop."""

    def __init__(self) -> None:
        self.sections: dict[str, Section] = {name: {} for name in SECTIONS}
        self._changed: set[str] = set()
        self._event = asyncio.Event()

    def put(self, name: str, section: Section) -> None:
        """Replaces a section."""
        if section != self.sections[name]:
            self.sections[name] = section
            self.touch(name)

    def touch(self, name: str) -> None:
        """Says that a section changed."""
        self._changed.add(name)
        self._event.set()

    def link(self, state: str, message: str = "") -> None:
        """Says how what is shown is connected to the run, now."""
        self.put(LINK, link_section(state, message))

    async def changed(self, seconds: float) -> None:
        """Waits for a change, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    def take(self) -> set[str]:
        """The names of the sections that changed since the last call."""
        changed, self._changed = self._changed, set()
        self._event.clear()
        return changed


def link_section(state: str, message: str) -> Section:
    """What is shown of how a picture is connected to its run, now."""
    return {"state": state, "message": message, "seen": int(time.time() * 1000)}


def record_section(record: run_pb2.Run, url: str) -> Section:
    """What is shown of the record of a run."""
    return {
        "id": run_id(record.name),
        "name": record.display_name,
        "experiment": record.experiment_display_name,
        "number": record.number,
        "type": record.run_type,
        "script": record.script_name,
        "target": record.target,
        "creator": record.creator,
        "description": record.description,
        "parent": run_id(record.parent),
        "status": status_name(record.status),
        "history": [[status_name(each.status), milliseconds(each.time), each.reason] for each in record.status_history],
        "created": milliseconds(record.create_time),
        "started": milliseconds(record.start_time),
        "ended": milliseconds(record.end_time),
        "url": url,
        "tags": from_tags(record.tags),
        "properties": dict(sorted(record.properties.items())),
        "error": error_section(record.error) if record.HasField("error") else None,
        "warnings": [each.message for each in record.warnings][-SHOWN_WARNINGS:],
    }


def error_section(error: run_pb2.RunError) -> Section:
    """What is shown of the error of a run."""
    return {
        "code": error.code,
        "message": error.message,
        "type": error.exception_type,
        "trace": error.stack_trace,
    }


def child_section(record: run_pb2.Run) -> Section:
    """What is shown of a child run."""
    numbers = [each for each in record.metric_summaries if each.HasField("last")]
    return {
        "id": run_id(record.name),
        "name": record.display_name,
        "status": status_name(record.status),
        "started": milliseconds(record.start_time),
        "ended": milliseconds(record.end_time),
        "metrics": {each.metric: json_number(each.last) for each in numbers[:SHOWN_CHILD_METRICS]},
    }


def milliseconds(timestamp: Any) -> int:
    """A time in milliseconds since the Unix epoch; 0: there is none."""
    return int(timestamp.ToMilliseconds())


def json_number(number: float) -> float | str:
    """A number as JSON has it: `NaN`, `Infinity` and `-Infinity` are texts, as the language of browsers writes them."""
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    return number
