"""What `services/native` compiles to; not there where there was no compiler. Use it as `runstream_server.native`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray
from typing_extensions import Buffer

_Numbers: TypeAlias = Buffer | NDArray[Any]

def encode_curves(
    curves: Sequence[tuple[_Numbers, _Numbers, _Numbers]],
    compress: Callable[[Sequence[bytes], bool], Sequence[Buffer]],
) -> list[tuple[bytes, bytes | None, float, float, float, int]]:
    """Encodes curves of 1 or more points: steps and times as int64, and values as doubles.

    Other threads go on meanwhile, where there are many points. `compress` compresses each of some bytes; fast, where
    hardly anything can be saved.

    Returns:
        For each curve its chunk, its overview if it is worth one, the last, the least and the greatest value (NaN where
        there is no number), and the earliest time.
    """

def read_batch(message: Buffer) -> tuple[int, bytes, list[str], bytes] | None:
    """Reads a WriteMetricsRequest with a batch of nothing but sound curves: doubles with a step and a time for each.

    Returns:
        The sequence and the digest of the batch, the metrics, and for each where in the message its steps, times and
        values begin, in bytes, and how many there are: four int64. None if the message is of another kind, or broken.
    """

def gather(message: Buffer, places: _Numbers) -> bytes:
    """The steps of all curves of a message, one after the other, then their times, then their values."""
