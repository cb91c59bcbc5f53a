"""What a widget shows of an offline run: what the run remembers."""

import asyncio
from typing import Any, Final

from runstream.core._series import VALUES, Series
from runstream.core._status import TERMINAL
from runstream.widgets._charts import MAX_CURVES
from runstream.widgets._child_runs import MAX_CHILDREN
from runstream.widgets._curve import Curve
from runstream.widgets._picture import ENDED, LIVE, SHOWN_CHILD_METRICS, Picture, Section
from runstream.widgets._run_data import Show

REFRESH_SECONDS: Final = 2.0


class RememberedData:
    """An offline run is in this process: it is looked at again and again until it has ended."""

    def __init__(self, run: Any, seconds: float) -> None:
        self._run = run
        self._seconds = max(seconds, REFRESH_SECONDS)
        self._picture = Picture()
        self._curves: dict[str, Curve] = {}

    async def load(self) -> dict[str, Section]:
        """Looks once."""
        self._look()
        return self.sections()

    async def follow(self, show: Show) -> None:
        """Looks until the run has ended."""
        while self._look():
            self._show(show)
            await asyncio.sleep(self._seconds)
        self._show(show)

    async def choose_log(self, path: str, show: Show) -> None:
        """Does nothing: an offline run has no log files."""

    def sections(self) -> dict[str, Section]:
        """All sections as they are now."""
        return dict(self._picture.sections)

    def _show(self, show: Show) -> None:
        changed = self._picture.take()
        show({name: section for name, section in self.sections().items() if name in changed})

    def _look(self) -> bool:
        """Whether the run goes on."""
        self._picture.put("record", remembered_record(self._run))
        self._picture.put("charts", self._charts())
        children = list(reversed(self._run._children))
        shown = [remembered_child(child) for child in children[:MAX_CHILDREN]]
        self._picture.put("child_runs", {"runs": shown, "more": len(children) > MAX_CHILDREN})
        is_over = self._run.status in TERMINAL
        self._picture.link(ENDED if is_over else LIVE, "This run is offline: nothing of it is stored.")
        return not is_over

    def _charts(self) -> Section:
        numeric = [series for series in list(self._run._logged.values()) if series.kind == VALUES]
        for series in numeric[:MAX_CURVES]:
            self._take(series)
        shown = [curve.section() for curve in self._curves.values() if not curve.is_empty]
        return {"curves": shown, "more": len(numeric) > MAX_CURVES}

    def _take(self, series: Series) -> None:
        curve = self._curves.setdefault(series.name, Curve(series.name))
        known = curve.count
        if len(series) > known:
            steps, values = list(series.steps), series._gathered.scalars.values()
            count = min(len(steps), len(values))
            curve.add(known, [int(step) for step in steps[known:count]], values[known:count])


def remembered_record(run: Any) -> Section:
    """What is shown of the record of an offline run."""
    error = (run._error or {}).get("error")
    return {
        "id": run.id,
        "name": run.display_name,
        "experiment": "offline",
        "number": 0,
        "status": run.status,
        "history": [],
        "created": 0,
        "started": 0,
        "ended": 0,
        "url": "",
        "description": run.description,
        "tags": dict(run.tags),
        "properties": dict(run.properties),
        "error": {**error, "type": "", "trace": ""} if error else None,
        "warnings": [],
    }


def remembered_child(run: Any) -> Section:
    """What is shown of a child of an offline run."""
    metrics = {}
    for series in list(run._logged.values())[:SHOWN_CHILD_METRICS]:
        numbers = [value for value in series._gathered.scalars.values() if isinstance(value, (int, float))]
        if series.kind == VALUES and numbers:
            metrics[series.name] = numbers[-1]
    return {"id": run.id, "name": run.display_name, "status": run.status, "started": 0, "ended": 0, "metrics": metrics}
