"""What the uplink cannot carry now is carried later."""

from pathlib import Path

import pytest

from runstream._spool.writer import SpoolWriter
from runstream._uplink import process
from runstream._uplink.process import Uplink


async def test_a_spool_that_an_uplink_fails_on_is_left_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "RETRY_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(process, "LINGER_SECONDS", 0.0)
    writer = SpoolWriter(tmp_path, "workspaces/space/runs/run", "127.0.0.1:9")
    writer.abandon()
    writer.path.unlink()
    writer.path.mkdir()
    uplink = Uplink(tmp_path)

    await uplink.run()

    assert not uplink.has_work()
    assert Uplink(tmp_path).has_work()
