"""Reads event files as TensorBoard does, with all checksums."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader


class Scalar(NamedTuple):
    """A point of a curve."""

    tag: str
    step: int
    seconds: float
    value: float


def scalars_of(content: bytes | Path) -> Sequence[Scalar]:
    """The scalars of an event file, or of one with this content, in order."""
    if isinstance(content, Path):
        events = LegacyEventFileLoader(str(content)).Load()
        return [
            Scalar(value.tag, event.step, event.wall_time, value.simple_value)
            for event in events
            for value in event.summary.value
        ]
    with TemporaryDirectory() as folder:
        file = Path(folder, "events.out.tfevents.1")
        file.write_bytes(content)
        return scalars_of(file)
