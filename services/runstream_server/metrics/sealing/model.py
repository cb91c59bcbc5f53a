"""The words of sealing."""

from collections.abc import Sequence
from dataclasses import dataclass

from runstream_server.names import RunName


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """Consecutive values of one series in one row group."""

    series: int
    start_index: int
    count: int
    size_bytes: int
    row_group: int

    first_row: int
    """Where the values begin within the row group."""

    overview: bytes | None


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of an object, and their CRC-32."""

    start: int
    length: int
    crc: int

    @property
    def end(self) -> int:
        """The byte after the last one."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class SealedObject:
    """A Parquet object and where its parts are."""

    run: RunName
    generation: int
    size_bytes: int
    footer: ByteRange
    groups: Sequence[ByteRange]

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return object_key(self.run, self.generation)


def object_key(run: RunName, generation: int) -> str:
    """The key of one generation of the object of a run."""
    return f"metrics/{run.workspace}/{run.run}/{generation}.parquet"


@dataclass(frozen=True, slots=True)
class SealTask:
    """A run that has ended, claimed by one process for a while."""

    run: RunName
    claim: int
    failures: int
    seen_position: int

    quiet_seconds: float
    """For how long `seen_position` has been the same."""
