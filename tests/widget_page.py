"""What would be sent to the page of a notebook."""

import asyncio
from array import array
from collections.abc import Callable
from typing import Any

from runstream.widgets._picture import SECTIONS
from tests.conditions import SECONDS


class Page:
    """Takes what would be sent to a browser."""

    def __init__(self) -> None:
        self.sections: dict[str, Any] = {name: {} for name in SECTIONS}
        self.updates = 0
        self._told = asyncio.Event()

    def show(self, changes: dict[str, Any]) -> None:
        self.sections.update(changes)
        self.updates += 1
        self._told.set()

    async def until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Waits until what is shown is as wanted."""
        async with asyncio.timeout(SECONDS):
            while not condition(self.sections):
                self._told.clear()
                await self._told.wait()
        return self.sections

    def columns(self, name: str) -> tuple[list[float], list[float]]:
        """The steps and values of a metric."""
        curve = self.curve(name)
        return array("d", curve["steps"]).tolist(), array("d", curve["values"]).tolist()

    def curve(self, name: str) -> dict[str, Any]:
        """The curve of a metric; empty: there is none."""
        curves = self.sections.get("charts", {}).get("curves", [])
        return next((curve for curve in curves if curve["name"] == name), {})
