"""Decides, under the locks of the writers' rows, which appends are new."""

from collections.abc import Callable, Mapping, Sequence

from runstream_server.appendstreams.errors import WriterFenced
from runstream_server.appendstreams.model import ANY_EPOCH, Append, AppendKey, Committed, Outcome, Payload, Position
from runstream_server.errors import RunstreamError


def judge(
    appends: Sequence[Append[Payload]],
    positions: Mapping[AppendKey, Position],
    gap: Callable[[int], RunstreamError],
) -> tuple[Sequence[Outcome], Sequence[Append[Payload]]]:
    """Places appends behind the positions of their writers, which it moves on.

    `gap` makes the error of an append that does not join on, from the position that was expected.

    Returns:
        What becomes of each append if the transaction commits, and those that are to be stored, in order.
    """
    outcomes: list[Outcome] = []
    new: list[Append[Payload]] = []
    for append in appends:
        position = positions.get(append.key)
        if position is None or append.epoch not in (position.epoch, ANY_EPOCH):
            outcomes.append(WriterFenced())
            continue
        known = append.end <= position.durable and append.payload is not None
        if not known and append.start != position.durable:
            outcomes.append(gap(position.durable))
            continue
        if not known:
            position.durable = append.end
            new.append(append)
        outcomes.append(Committed(position.durable, append.refusals))
    return outcomes, new
