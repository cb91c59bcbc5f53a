"""Between the messages of readers and the words of metrics."""

from collections.abc import Mapping, Sequence, Set

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.errors import InvalidField
from runstream_server.metrics.convert import encode_slice, fill
from runstream_server.metrics.errors import InvalidCursor
from runstream_server.metrics.latest import LatestOfSeries
from runstream_server.metrics.limits import MAX_BATCH_SERIES
from runstream_server.metrics.queries import (
    Axis,
    CompareRequest,
    ReadRequest,
    RefusalCount,
    TailMessage,
    TailRequest,
    ThinnedSeries,
)
from runstream_server.metrics.windows import Window
from runstream_server.names import RunName

_MAX_RUNS = 1_000
_MAX_TAILED_RUNS = 100
_MAX_POSITIONS = 100_000
_MAX_COMPARED = 100
_DEFAULT_POINTS = 1_000
_MAX_POINTS = 10_000
_AXES = {
    messages.SERIES_AXIS_UNSPECIFIED: Axis.STEP,
    messages.SERIES_AXIS_STEP: Axis.STEP,
    messages.SERIES_AXIS_TIME: Axis.TIME,
    messages.SERIES_AXIS_RELATIVE_TIME: Axis.RELATIVE_TIME,
}
_BOUNDS = ("min_step", "max_step", "min_time", "max_time")


def decode_read(request: messages.ReadSeriesRequest) -> tuple[ReadRequest, Window]:
    """What to read; raises InvalidField if the request breaks its limits."""
    runs = _decode_runs(request.runs, _MAX_RUNS)
    _check_metrics(request.metrics)
    for field in ("start_index", "end_index", "last_count"):
        if getattr(request, field) < 0:
            raise InvalidField(field, "expected 0 or more")
    bounds = {name: getattr(request, name) for name in _BOUNDS if request.HasField(name)}  # type: ignore[arg-type]
    starts = _start_indexes(request)
    read = ReadRequest(runs, list(request.metrics), request.start_index, request.end_index, starts, request.last_count)
    return read, Window(**bounds)


def _start_indexes(request: messages.ReadSeriesRequest) -> Mapping[str, int]:
    if not request.start_indexes:
        return {}
    starts = dict(zip(request.metrics, request.start_indexes, strict=False))
    if not len(starts) == len(request.metrics) == len(request.start_indexes):
        raise InvalidField("start_indexes", "expected one for each of metrics, which are distinct then")
    if min(starts.values()) < 0:
        raise InvalidField("start_indexes", "expected 0 or more")
    return starts


def decode_read_latest(request: messages.ReadLatestValuesRequest) -> ReadRequest:
    """Of which series to read latest values; raises InvalidField if the request breaks its limits."""
    runs = _decode_runs(request.runs, _MAX_RUNS)
    _check_metrics(request.metrics)
    return ReadRequest(runs, list(request.metrics))


def decode_comparison(request: messages.CompareSeriesRequest) -> CompareRequest:
    """What to compare; raises InvalidField if the request breaks its limits."""
    runs = _decode_runs(request.runs, _MAX_COMPARED)
    if not 1 <= len(request.metrics) <= _MAX_COMPARED:
        raise InvalidField("metrics", f"expected 1 to {_MAX_COMPARED} metrics; got {len(request.metrics)}")
    _check_metrics(request.metrics)
    max_points = request.max_points or _DEFAULT_POINTS
    if not 2 <= max_points <= _MAX_POINTS:
        raise InvalidField("max_points", f"expected 2 to {_MAX_POINTS}, or 0 for {_DEFAULT_POINTS}; got {max_points}")
    if request.axis not in _AXES:
        raise InvalidField("axis", f"there is no axis {request.axis}")
    low = request.min if request.HasField("min") else -(2**63)
    high = request.max if request.HasField("max") else 2**63 - 1
    return CompareRequest(runs, list(dict.fromkeys(request.metrics)), max_points, _AXES[request.axis], low, high)


def _decode_runs(names: Sequence[str], limit: int) -> Sequence[RunName]:
    """Runs of one workspace, each once, in the same order."""
    if not 1 <= len(names) <= limit:
        raise InvalidField("runs", f"expected 1 to {limit} runs; got {len(names)}")
    runs = [RunName.parse(run, f"runs[{place}]") for place, run in enumerate(names)]
    if len({run.workspace for run in runs}) > 1:
        raise InvalidField("runs", "all runs have to be of one workspace")
    return list(dict.fromkeys(runs))


def _check_metrics(metrics: Sequence[str]) -> None:
    if len(metrics) > MAX_BATCH_SERIES:
        raise InvalidField("metrics", f"expected up to {MAX_BATCH_SERIES} metrics; got {len(metrics)}")
    if any("\0" in metric for metric in metrics):
        raise InvalidField("metrics", "no metric has NUL in its name")


def decode_tail(request: messages.TailSeriesRequest) -> TailRequest:
    """The series to follow.

    Raises:
        InvalidField: The request breaks its limits.
        InvalidCursor: A position is negative, or a series has two.
    """
    runs = _decode_runs(request.runs, _MAX_TAILED_RUNS)
    _check_metrics(request.metrics)
    if len(request.cursor) > _MAX_POSITIONS:
        raise InvalidField("cursor", f"expected up to {_MAX_POSITIONS} positions; got {len(request.cursor)}")
    return TailRequest(runs, list(request.metrics), _decode_positions(request, set(runs)), request.from_now)


def _decode_positions(request: messages.TailSeriesRequest, runs: Set[RunName]) -> Mapping[tuple[str, str], int]:
    metrics = set(request.metrics)
    positions: dict[tuple[str, str], int] = {}
    for place, position in enumerate(request.cursor):
        run = RunName.parse(position.run, f"cursor[{place}].run")
        if run not in runs:
            raise InvalidField(f"cursor[{place}].run", "expected one of `runs`")
        if metrics and position.metric not in metrics:
            raise InvalidField(f"cursor[{place}].metric", "expected one of `metrics`")
        if "\0" in position.metric or position.next_index < 0 or (run.run, position.metric) in positions:
            raise InvalidCursor(run, position.metric)
        positions[run.run, position.metric] = position.next_index
    return positions


def encode_latest(page: Sequence[LatestOfSeries]) -> messages.ReadLatestValuesResponse:
    """Makes the message of series that have a latest number."""
    names = {each.series.run: str(each.series.run) for each in page}
    return messages.ReadLatestValuesResponse(
        values=[
            messages.LatestValue(run=names[each.series.run], metric=each.series.metric, **each.latest._asdict())
            for each in page
            if each.latest is not None
        ]
    )


def encode_thinned(thinned: ThinnedSeries) -> messages.CompareSeriesResponse:
    """Makes the message of a thinned series."""
    message = messages.CompareSeriesResponse(
        run=str(thinned.series.run), metric=thinned.series.metric, count=thinned.count, thinned=thinned.thinned
    )
    fill(message, message.PLACES_FIELD_NUMBER, thinned.places)
    fill(message, message.VALUES_FIELD_NUMBER, thinned.values)
    return message


def encode_tail(message: TailMessage) -> messages.TailSeriesResponse:
    """Makes the message of a tail."""
    return messages.TailSeriesResponse(
        values=encode_slice(message.slice) if message.slice else None,
        ended=messages.TAIL_END_RUN_ENDED if message.ended else messages.TAIL_END_UNSPECIFIED,
    )


def encode_refusal_count(refused: RefusalCount) -> messages.RefusalCount:
    """Makes the message of what was refused for one reason."""
    metrics = [messages.RefusedMetric(metric=metric, count=count) for metric, count in refused.metrics.items()]
    return messages.RefusalCount(reason=refused.reason, message=refused.message, count=refused.count, metrics=metrics)
