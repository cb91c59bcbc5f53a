"""Append streams: the protocol that WriteMetrics and WriteLog share.

A client opens a stream for one writer, sends what follows its durable position, and gets cumulative acknowledgements.
What is shared is here: positions, fencing, group commit, memory bounds, notices, draining. What differs, messages and
tables, a service brings along as a `Dialect` and a `commit`.

Invariants:
* An acknowledgement is sent after COMMIT and never earlier.
* The position of a writer moves in the transaction that stores its data, under the lock of the writer's row, whose
  epoch must be that of the stream. So nothing is stored twice or out of order, whatever is repeated, by whomever.
* The memory of a process is bounded by `AppendLimits`: the budget, and one message per stream.
"""

from runstream_server.appendstreams.errors import WriterDiverged, WriterFenced
from runstream_server.appendstreams.groupcommit import GroupCommitter
from runstream_server.appendstreams.hub import AppendHub, append_hub
from runstream_server.appendstreams.judge import judge
from runstream_server.appendstreams.limits import AppendLimits
from runstream_server.appendstreams.model import (
    Append,
    AppendKey,
    Committed,
    Finish,
    Notice,
    Opening,
    Outcome,
    Piece,
    Position,
    Prepared,
    Refusal,
    decode_writer,
)
from runstream_server.appendstreams.once import append_once
from runstream_server.appendstreams.stream import AppendStream, Dialect

__all__ = [
    "Append",
    "AppendHub",
    "AppendKey",
    "AppendLimits",
    "AppendStream",
    "Committed",
    "Dialect",
    "Finish",
    "GroupCommitter",
    "Notice",
    "Opening",
    "Outcome",
    "Piece",
    "Position",
    "Prepared",
    "Refusal",
    "WriterDiverged",
    "WriterFenced",
    "append_hub",
    "append_once",
    "decode_writer",
    "judge",
]
