"""Reads the latest values of metrics: of each the one at the greatest step."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.gateway.visitors import Visitor

_MOST_RUNS = 1_000


async def read_latest(
    visitor: Visitor, runs: Sequence[str], metrics: Collection[str] = ()
) -> Mapping[str, Sequence[messages.LatestValue]]:
    """Returns the latest values of some metrics, or of all, in order of name, by resource names of runs.

    A run without any of them is absent.
    """
    found: defaultdict[str, list[messages.LatestValue]] = defaultdict(list)
    for start in range(0, len(runs), _MOST_RUNS):
        request = messages.ReadLatestValuesRequest(runs=runs[start : start + _MOST_RUNS], metrics=metrics)
        method = visitor.services.metrics.ReadLatestValues
        async for response in visitor.stream(method, request, messages.ReadLatestValuesResponse):
            for value in response.values:
                found[value.run].append(value)
    return found
