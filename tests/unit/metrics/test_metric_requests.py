"""Requests of WriteMetrics: what is read without protobuf is what protobuf reads."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.metrics.convert import decode_columns, encode_points
from runstream_server.metrics.model import Kind, Points, Segment
from runstream_server.metrics.requests import CurveBatch, read_request
from runstream_server.native import native

pytestmark = pytest.mark.skipif(not native, reason="there was no compiler")


def request(*counts: int, sequence: int = 7, digest: bytes = b"digest") -> messages.WriteMetricsRequest:
    """A batch of curves with so many points."""
    message = messages.WriteMetricsRequest()
    message.batch.sequence = sequence
    message.batch.digest = digest
    random = np.random.default_rng(len(counts))
    for place, count in enumerate(counts):
        steps, times = (random.integers(-(2**63), 2**63 - 1, count) for _ in range(2))
        points = Points(steps, times, [Segment(Kind.DOUBLE, count, steps.view(np.float64))])
        encode_points(message.batch.series.add(metric=f"loss/{place} ä"), points, 0)
    return message


def raw(columns: list[tuple[str, str, Points]]) -> list[tuple[str, str, bytes, bytes, bytes]]:
    return [
        (metric, description, points.steps.tobytes(), points.times.tobytes(), points.segments[0].array.tobytes())
        for metric, description, points in columns
        if points.steps is not None
    ]


def assert_same(batch: CurveBatch, message: messages.WriteMetricsRequest) -> None:
    assert batch.sequence == message.batch.sequence
    assert batch.digest == message.batch.digest
    assert raw(list(batch.columns())) == raw(list(decode_columns(message.batch.series)))


@given(st.lists(st.integers(1, 200), min_size=1, max_size=12), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=32))
def test_curves_are_read_as_protobuf_reads_them(counts: list[int], sequence: int, digest: bytes) -> None:
    message = request(*counts, sequence=sequence, digest=digest)
    batch = read_request(message.SerializeToString())

    assert isinstance(batch, CurveBatch)
    assert_same(batch, message)


def test_long_curves_are_read_where_they_are() -> None:
    message = request(5_000, 3)
    batch = read_request(message.SerializeToString())

    assert isinstance(batch, CurveBatch)
    assert_same(batch, message)
    assert batch.columns()[0][2].times.base is not None


def test_a_batch_may_come_in_parts() -> None:
    parts = request(3, 4), request(5, digest=b"")
    data = b"".join(part.SerializeToString() for part in parts)
    batch = read_request(data)

    assert isinstance(batch, CurveBatch)
    assert_same(batch, messages.WriteMetricsRequest.FromString(data))


def no_metric(message: messages.WriteMetricsRequest) -> None:
    message.batch.series[0].ClearField("metric")


def described(message: messages.WriteMetricsRequest) -> None:
    message.batch.series[0].description = "falls"


def without_steps(message: messages.WriteMetricsRequest) -> None:
    message.batch.series[0].ClearField("steps")


def too_few_times(message: messages.WriteMetricsRequest) -> None:
    message.batch.series[0].times.pop()


def integers(message: messages.WriteMetricsRequest) -> None:
    message.batch.series[0].int64s.values.extend([1, 2, 3])


def empty(message: messages.WriteMetricsRequest) -> None:
    message.batch.series.add(metric="empty")


def no_series(message: messages.WriteMetricsRequest) -> None:
    message.batch.ClearField("series")


def opening(message: messages.WriteMetricsRequest) -> None:
    message.open.run = "run"


@pytest.mark.parametrize(
    "change", [no_metric, described, without_steps, too_few_times, integers, empty, no_series, opening]
)
def test_all_else_is_left_to_protobuf(change: object) -> None:
    message = request(3, 3)
    assert callable(change)
    change(message)

    assert read_request(message.SerializeToString()) == message


def test_a_column_in_pieces_is_left_to_protobuf() -> None:
    columns = request(1).batch.series[0].SerializeToString() * 2
    series = b"\x12" + bytes([len(columns)]) + columns
    data = b"\x12" + bytes([len(series)]) + series

    assert read_request(data) == messages.WriteMetricsRequest.FromString(data)


def read_or_refused(read: object, data: bytes) -> object:
    assert callable(read)
    try:
        return read(data)
    except DecodeError:
        return None


@given(st.data())
def test_broken_messages_are_read_as_protobuf_reads_them(data: st.DataObject) -> None:
    sent = bytearray(request(3, 1).SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(sent) - 1), max_size=3)):
        sent[place] = data.draw(st.integers(0, 255))
    cut = bytes(sent[: data.draw(st.integers(0, len(sent)))])
    message = read_or_refused(messages.WriteMetricsRequest.FromString, cut)
    batch = read_or_refused(read_request, cut)

    if isinstance(batch, CurveBatch):
        assert isinstance(message, messages.WriteMetricsRequest)
        assert_same(batch, message)
    else:
        assert batch == message


@pytest.mark.parametrize("place", [(-1, 0, 0, 1), (0, 0, 99, 1), (0, 0, 0, 13), (0, 0, 0, -1)])
def test_places_outside_of_the_message_are_an_error(place: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such place"):
        native.gather(bytes(100), np.array(place, np.int64))
