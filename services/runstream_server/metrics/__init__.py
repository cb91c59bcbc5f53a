"""The metrics service: stores the values that runs log, in order, and hands them out again.

Invariants, besides those of `appendstreams`:
* The values of a series, those in the object of its run and then those in chunks, join on without gap from index 0 to
  its count; indexes are handed out under the lock of the series' row, so their order is the order of commits.
* Values keep their type and every bit: NaN with its payload, infinities, -0.0, any int64.
* A column that cannot be stored is refused by itself with a reason; the batch goes on. What is refused is counted in
  the transaction that makes the batch durable, so that each value sent is stored or counted as refused, once.
* An overview says of its chunk what decoding it would say; a chunk may be without one.
* A latest value that is remembered is that of the first values of its series, as many as are noted with it.
* A tail sends each value of a series once and in order, on whichever server it goes on.
* A changed summary is marked in the transaction that changed it, and told to the run history until that has it.
"""

from pathlib import Path

from runstream_server.metrics.mount import mount

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = ["MIGRATIONS", "mount"]
