"""Section 6: heartbeats."""

import asyncio
import logging

import pytest

from runstream.core._heartbeat import Heartbeats


class Defective(Heartbeats):
    """Sends nothing the first time."""

    def __init__(self) -> None:
        super().__init__(period_seconds=0)
        self.sent = asyncio.Event()
        self.failed = False

    async def _send(self, run: str, address: str) -> None:
        if not self.failed:
            self.failed = True
            raise RuntimeError("a defect")
        self.sent.set()
        self.stop(run)


async def test_heartbeats_go_on_after_a_defect(caplog: pytest.LogCaptureFixture) -> None:
    heartbeats = Defective()
    with caplog.at_level(logging.WARNING, "runstream"):
        heartbeats.start("workspaces/w/runs/r", "127.0.0.1:1")
        async with asyncio.timeout(10):
            await heartbeats.sent.wait()

    assert caplog.messages == ["The heartbeat of workspaces/w/runs/r was not sent"]
