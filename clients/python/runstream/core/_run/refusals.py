"""What of a run is not stored, as the services count it."""

from collections.abc import Sequence
from typing import Final

from runstream.api.metrics.v1.metrics_service_pb2 import RefusalCount

SOURCE: Final = "metrics"
MAX_NAMED: Final = 5


def refusal_warnings(refusals: Sequence[RefusalCount]) -> list[dict[str, str]]:
    """Refused values as warnings of a run, one for each reason."""
    return [{"source": SOURCE, "message": _text(refusal)} for refusal in refusals]


def _text(refusal: RefusalCount) -> str:
    named = sorted(refusal.metrics, key=lambda each: -each.count)[:MAX_NAMED]
    metrics = ", ".join(f"{each.count} of {each.metric!r}" for each in named)
    left = refusal.count - sum(each.count for each in named)
    others = f", {left} of other metrics" if left else ""
    return f"Values refused in all: {refusal.count} ({refusal.reason}: {refusal.message}): {metrics}{others}"
