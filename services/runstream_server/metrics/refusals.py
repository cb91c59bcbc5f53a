"""Which columns cannot be stored, and why. A column is refused by itself and holds up nothing."""

from runstream_server.appendstreams import Refusal
from runstream_server.metrics.model import Kind, Points

MAX_SERIES = 10_000
MAX_NAME = 255
MAX_DESCRIPTION = 5_000
MAX_TEXT = 10_000


def find_problem(place: int, metric: str, description: str, points: Points) -> tuple[str, str] | None:
    """The reason and the message for refusing the columns at a place in a batch; None when they are fine."""
    if place >= MAX_SERIES:
        return "TOO_MANY_SERIES", f"a batch has up to {MAX_SERIES} series; send the others in the next one"
    if not 1 <= len(metric) <= MAX_NAME or "\0" in metric:
        return "INVALID_NAME", f"a metric has a name of 1 to {MAX_NAME} characters without NUL"
    if len(description) > MAX_DESCRIPTION:
        return "TEXT_TOO_LONG", f"a description has up to {MAX_DESCRIPTION} characters; got {len(description)}"
    if "\0" in description:
        return "INVALID_TEXT", "a description has no NUL character"
    return _problem_of_columns(points) or _problem_of_texts(points)


def _problem_of_columns(points: Points) -> tuple[str, str] | None:
    if not points.segments or (points.count == 0 and points.segments[0].kind is not Kind.NULL):
        return "NO_VALUES", "there are no values; a series that is to exist and be empty has nulls with a count of 0"
    values = points.segments[0].count
    steps = points.count if points.steps is None else len(points.steps)
    if not values == points.count == steps:
        return (
            "UNEQUAL_COLUMNS",
            f"{values} values have {points.count} times and {steps} steps; each needs a time, all have steps or none",
        )
    return None


def _problem_of_texts(points: Points) -> tuple[str, str] | None:
    segment = points.segments[0]
    if segment.kind is Kind.STRING:
        longest = max(map(len, segment.strings))
        if longest > MAX_TEXT:
            return "TEXT_TOO_LONG", f"a text has up to {MAX_TEXT} characters; got {longest}"
    return None


def refusal(sequence: int, metric: str, problem: tuple[str, str], count: int) -> Refusal:
    """Says that `count` values of a series are not stored."""
    reason, message = problem
    return Refusal(sequence, metric[:MAX_NAME], reason, message, count)
