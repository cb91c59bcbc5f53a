"""Writers whose batches have columns that cannot be stored."""

import random
from collections import Counter

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from tests.append_clients import doubles
from tests.chaos.payloads import SHARED, Payload
from tests.chaos.writers import PayloadSource

POISON = {
    "INVALID_NAME": [doubles("", [1.0]), doubles("x" * 2_000, [1.0, 2.0]), doubles("a\0b", [3.0])],
    "UNEQUAL_COLUMNS": [
        metrics.SeriesColumns(metric="p", times=[1, 2, 3], doubles=metrics.DoubleValues(values=[1.0, 2.0])),
        metrics.SeriesColumns(metric="p", times=[1, 2], steps=[1], doubles=metrics.DoubleValues(values=[1.0, 2.0])),
    ],
    "TEXT_TOO_LONG": [
        metrics.SeriesColumns(metric="p", times=[1, 2], strings=metrics.StringValues(values=["fine", "x" * 10_001]))
    ],
    "NO_VALUES": [metrics.SeriesColumns(metric="p", times=[1, 2])],
}
"""By reason."""

MIXED = metrics.SeriesColumns(metric=SHARED, times=[1, 2, 3], table=metrics.TableValues(row_count=3))
"""What only the database can refuse, since the series has numbers."""


def values_in(columns: metrics.SeriesColumns) -> int:
    """How many values a column means to have."""
    return len(columns.times)


class PoisonedPayload(Payload):
    """A batch that may have columns that are refused, behind those that are stored."""

    def batch(self) -> metrics.MetricBatch:
        """The message."""
        batch = super().batch()
        batch.series.extend(columns for _, columns in self._poison())
        return batch

    def refused(self) -> Counter[str]:
        """How many of its values are refused, by reason."""
        counts = Counter[str]()
        for reason, columns in self._poison():
            counts[reason] += values_in(columns)
        return counts

    def _poison(self) -> list[tuple[str, metrics.SeriesColumns]]:
        choice = random.Random(f"{self.seed} {self.writer} {self.sequence}")
        reason = choice.choice(sorted(POISON))
        drawn = [("MIXED_KINDS", MIXED), (reason, choice.choice(POISON[reason]))]
        return [each for each in drawn if choice.random() < 0.4]


class PoisonedSource(PayloadSource):
    """The batches of one writer, poisoned."""

    payload = PoisonedPayload

    def check_refusals(self, refusals: list[metrics.SeriesRefusal]) -> None:
        """Does not mind."""
