"""Ends tasks."""

import asyncio
from typing import Any


async def end_tasks(*tasks: "asyncio.Future[Any]") -> None:
    """Cancels tasks and waits until they have ended; how they ended is of no interest any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
