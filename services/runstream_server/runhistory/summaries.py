"""What the run history keeps of the metrics of runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """What is known of one metric of a run without reading its values."""

    metric: str
    last: float | None
    min: float | None
    max: float | None
    count: int

    revision: int
    """Ascends with each change of the series."""
