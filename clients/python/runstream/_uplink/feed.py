"""Takes the records of a spool apart: values for batches, everything else for whom it concerns."""

import logging
import struct
from collections import deque
from typing import Final, Protocol

from runstream._spool.events import Refusal
from runstream._spool.format import DEFINE, DEFINE_TABLE, DESCRIBE, FINISH, TABLE, VALUE
from runstream._spool.reader import Damage, SpoolReader
from runstream._spool.records import Record, decode_finish, decode_text, decode_values, record_at
from runstream._spool.tables import decode_rows
from runstream._uplink.batches import BatchBuilder, TooLarge

SKIP_COUNT: Final = 1_000
READ_BYTES: Final = 64 * 1024
"""What is read ahead. As records it takes several times as much memory, and an uplink may carry hundreds of spools."""
UNNAMED: Final = "the spool is damaged where it has the name of this metric"
LARGE: Final = "more values were logged at once than one message can carry"
UNREADABLE: Final = "the spool has values that make no sense"

_logger = logging.getLogger(__name__)


class Attendant(Protocol):
    """Whom everything in a spool concerns that is no value, in order. After a restart of the uplink it comes again."""

    def take_record(self, record: Record) -> None:
        """A record that is neither a value nor the name of a metric."""

    def take_damage(self, damage: Damage) -> None:
        """Bytes that are no records."""

    def take_refusal(self, refusal: Refusal) -> None:
        """Values that are not stored."""


class Feed:
    """The records of one spool, each taken once, from the first on."""

    def __init__(self, reader: SpoolReader, attendant: Attendant) -> None:
        self._reader = reader
        self._attendant = attendant
        self._metrics: dict[int, str] = {}
        self._tables: set[int] = set()
        self._unread: deque[Record | Damage] = deque()
        self.position = reader.position
        """Where the next record begins that was not taken."""
        self.is_over = False
        """Whether the writer said that nothing follows."""
        self.goes_on = False
        """Whether it said that its process writes another spool."""

    def begin_batch(self) -> BatchBuilder:
        """A builder that knows the names of the metrics."""
        return BatchBuilder(self._metrics, self._tables)

    def take(self, builder: BatchBuilder | None, *, final: bool) -> bool:
        """Takes the next record, a value into `builder` or, without one, nowhere; false: there is none now.

        `final`: nobody writes any more, so what is cut off at the end stays so.
        """
        if self.is_over or not (self._unread or self._read(final)):
            return False
        item = self._unread.popleft()
        self.position = item.end
        if isinstance(item, Damage):
            self._attendant.take_damage(item)
        else:
            self._take_record(item, builder)
        return True

    def skip_to(self, offset: int) -> bool:
        """Takes up to `SKIP_COUNT` records before an offset without their values; false: there are no more of them."""
        for _ in range(SKIP_COUNT):
            if self.position >= offset:
                return False
            if not self.take(None, final=False):
                self._attendant.take_damage(Damage(self.position, offset))
                return False
        return True

    def rebuild(self, start: int, end: int) -> BatchBuilder:
        """The batch of a piece of the spool that was taken before."""
        builder, data, at = self.begin_batch(), self._reader.bytes_between(start, end), 0
        while at < len(data):
            record = record_at(data, at, start)
            at = record.end - start if record else at + 1
            if record is not None and _is_sent(record.type):
                _add(record, builder)
        return builder

    def _read(self, final: bool) -> bool:
        self._unread.extend(self._reader.read(READ_BYTES, final=final))
        return bool(self._unread)

    def _take_record(self, record: Record, builder: BatchBuilder | None) -> None:
        if record.type in (DEFINE, DEFINE_TABLE):
            self._define(record)
        elif record.type == FINISH:
            self.is_over, self.goes_on = True, decode_finish(record.body)
        elif not _is_sent(record.type):
            self._attendant.take_record(record)
        elif builder is not None and (error := _add(record, builder)) is not None:
            self._refuse(record, error)

    def _define(self, record: Record) -> None:
        id_, name = decode_text(record.body)
        self._metrics[id_] = name
        if record.type == DEFINE_TABLE:
            self._tables.add(id_)

    def _refuse(self, record: Record, error: Exception) -> None:
        if record.type < VALUE:
            return
        if isinstance(error, TooLarge):
            metric = self._metrics.get(error.id, f"<{error.id}>")
            self._attendant.take_refusal(Refusal(metric, "TOO_MANY_VALUES", LARGE, error.value_count))
            return
        try:
            id_, count = _size(record)
            refusal = Refusal(f"<{id_}>", "SPOOL_DAMAGED", UNNAMED, count)
        except (ValueError, struct.error):
            refusal = Refusal("<unknown>", "SPOOL_DAMAGED", UNREADABLE, 1)
        self._attendant.take_refusal(refusal)


def _add(record: Record, builder: BatchBuilder) -> Exception | None:
    """Adds a record to a batch, or returns why it is not part of it: the same whenever the batch is made."""
    try:
        builder.add(record.type, record.body)
    except (TooLarge, KeyError, ValueError, struct.error) as error:
        return error
    return None


def _size(record: Record) -> tuple[int, int]:
    """Id and number of the values or rows of a record."""
    if record.type == TABLE:
        table = decode_rows(record.body)
        return table.id, table.rows.row_count
    values = decode_values(record.body)
    return values.id, values.value_count


def _is_sent(type_: int) -> bool:
    return type_ == DESCRIBE or type_ >= VALUE
