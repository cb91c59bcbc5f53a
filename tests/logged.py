"""What tests of logging share: a plot, what was stored, and what was said about what was not."""

from typing import Any, BinaryIO

import pytest

from runstream.core import Run
from tests.conditions import wait_until

PNG = b"\x89PNG\r\n\x1a\n"


class Plot:
    """What matplotlib has: it draws something else each time."""

    def __init__(self) -> None:
        self.drawn = 0

    def savefig(self, file: BinaryIO, format: str) -> None:  # noqa: A002
        assert format == "png"
        self.drawn += 1
        file.write(PNG + bytes([self.drawn]))


def kept(run: Run) -> dict[str, Any]:
    """What reads back once everything is stored."""
    run.flush()
    return run.get_metrics()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warning lines about values that are not stored."""
    lines = [record.getMessage() for record in caplog.records if record.name == "runstream"]
    return [line for line in lines if "are not stored" in line]


def warned(run: Run, count: int) -> list[str]:
    """Waits for warnings of the run about values that are not stored."""

    def found() -> list[str]:
        texts = [each["message"] for each in run.get_details().get("warnings", [])]
        return [text for text in texts if "are not stored" in text]

    wait_until(lambda: len(found()) >= count)
    return found()
