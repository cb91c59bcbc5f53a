"""Appends without a stream."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from runstream_server.appendstreams.hub import AppendHub
from runstream_server.appendstreams.model import (
    ANY_EPOCH,
    Append,
    AppendKey,
    Committed,
    Outcome,
    Payload,
    Piece,
    Prepared,
    check_size,
)


async def append_once(
    hub: AppendHub[Payload],
    key: AppendKey,
    piece: Piece[Any],
    prepare: Callable[[Piece[Any], int], Awaitable[Prepared[Payload]]],
) -> Committed:
    """Has one piece of a writer committed, together with what streams append meanwhile; fences nobody.

    Within the memory budget of the streams: waits while it is exhausted. A piece that is known already succeeds.
    """
    check_size(piece, hub.limits.max_batch_bytes)
    await hub.budget.room()
    hub.budget.take(piece.size_bytes)
    try:
        prepared = await prepare(piece, 0)
    except BaseException:
        hub.budget.give_back(piece.size_bytes)
        raise
    hub.budget.change(piece.size_bytes, prepared.size_bytes)
    append = (piece.start, piece.end, prepared.size_bytes, prepared.payload, prepared.refusals)
    committing = hub.committer.submit(Append(key, ANY_EPOCH, *append))
    committing.add_done_callback(lambda _: hub.budget.give_back(prepared.size_bytes))
    return _committed(await asyncio.shield(committing))


def _committed(outcome: Outcome) -> Committed:
    if isinstance(outcome, Committed):
        return outcome
    raise outcome
