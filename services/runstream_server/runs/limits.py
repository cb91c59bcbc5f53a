"""The limits of every field, in one table, and the checks that hold requests to them."""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from runstream_server.field_checks import FieldChecks
from runstream_server.runs.model import Experiment, Tags, Workspace

DISPLAY_NAME = 256
DESCRIPTION = 5_000
RUN_TYPE = 100
CREATOR = 256
TARGET = 256
SCRIPT_NAME = 1_024
LABEL = 256
REASON = 300
ERROR_CODE = 256
ERROR_MESSAGE = 3_000
EXCEPTION_TYPE = 256
STACK_TRACE = 100_000
WARNING_SOURCE = 256
WARNING_MESSAGE = 300
METRIC = 255
"""Characters of a text."""

KEY = 250
VALUE = 10_000
"""Characters of the key and the value of a tag."""

PROPERTY_KEY = 260
"""Characters of the key of a property, with room for a prefix before the longest key of a tag; values as for tags."""

EXPERIMENT_TAG = 20_000
"""Characters of the value of a tag of an experiment."""

TAGS = 1_000
PROPERTIES = 1_000
LABELS_BYTES = 1024 * 1024
"""How many tags and properties there may be, and how many bytes each of the two may take as JSON."""

BATCH = 10_000
NAMES = 1_000
WARNINGS_PER_CALL = 100
WARNINGS = 1_000
STATUS_HISTORY = 1_000
SUMMARIES_RUNS = 1_000
SUMMARIES_PER_RUN = 10_000
SUMMARIES_SHOWN = 1_000
"""How many of a thing there may be."""

PAGE_SIZE = 1_000
DEFAULT_PAGE_SIZE = 100
PAGE_BYTES = 4 * 1024 * 1024
"""A page, or a message of a watch, ends with the item that takes it past these bytes."""

BATCH_GET_BYTES = 12 * 1024 * 1024
"""How much BatchGetRuns returns at most; a response may take 16 MiB."""

FILTER = 8_192
FILTER_DEPTH = 32

LEAST_RUN_DURATION = timedelta(seconds=1)
MOST_RUN_DURATION = timedelta(days=3_650)
LEAST_LOG_RETENTION = timedelta(hours=1)
MOST_LOG_RETENTION = timedelta(days=36_525)

EARLIEST_TIME = datetime(1970, 1, 1, tzinfo=UTC)

_USUAL_TEXTS = 200  # of KEY characters each, they take less than LABELS_BYTES

_FIXED_BYTES = 1_500

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EXPERIMENT_DISPLAY_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_\-]{0,254}")
_CUT = " ... (cut) ... "


class Checks(FieldChecks):
    """What fields of runs are held to."""

    def key(self, field: str, key: str, longest: int = KEY) -> str:
        """The key of a tag or a property."""
        if not 1 <= len(key) <= longest:
            self.fail(field, f"a key has 1 to {longest} characters; got {len(key)}")
        if _CONTROL.search(key):
            self.fail(field, "a key has no control characters; got " + repr(key[:80]))
        return key

    def experiment_display_name(self, field: str, text: str) -> str:
        """The display name of an experiment."""
        if not _EXPERIMENT_DISPLAY_NAME.fullmatch(text):
            self.fail(
                field,
                "expected a letter or digit, then up to 254 letters, digits, - and _ of ASCII; got " + repr(text[:80]),
            )
        return text

    def tags(self, field: str, pairs: Iterable[tuple[str, str | None]], longest: int = VALUE) -> Tags:
        """Tags with distinct keys and values of up to `longest` characters."""
        tags: dict[str, str | None] = {}
        for index, (key, value) in enumerate(pairs):
            self.key(f"{field}[{index}].key", key)
            if key in tags:
                self.fail(f"{field}[{index}].key", f"key {key[:80]!r} is there twice; keys are distinct")
            tags[key] = value if value is None else self.text(f"{field}[{index}].value", value, longest)
        if len(tags) > TAGS:
            self.fail(field, f"up to {TAGS} tags; got {len(tags)}")
        self._size(field, tags, longest)
        return tags

    def properties(self, field: str, properties: Mapping[str, str]) -> Mapping[str, str]:
        """Properties."""
        for key, value in properties.items():
            self.key(f"{field}[{key[:80]!r}]", key, PROPERTY_KEY)
            self.text(f"{field}[{key[:80]!r}]", value, VALUE)
        if len(properties) > PROPERTIES:
            self.fail(field, f"up to {PROPERTIES} properties; got {len(properties)}")
        self._size(field, properties, VALUE)
        return properties

    def _size(self, field: str, labels: Mapping[str, str | None], longest: int) -> None:
        if (
            len(labels) > LABELS_BYTES // (PROPERTY_KEY + longest) // 6
        ):  # fewer cannot take more, escaped to six bytes each
            size = labels_bytes(labels)
            if size > LABELS_BYTES:
                self.fail(field, f"up to {LABELS_BYTES} bytes together; got {size}")

    def count(self, field: str, count: int, limit: int) -> int:
        """How many things a request names."""
        if not 1 <= count <= limit:
            self.fail(field, f"expected 1 to {limit}; got {count}")
        return count

    def page_size(self, size: int) -> int:
        """The size of a page; 0 asks for the default."""
        if not 0 <= size <= PAGE_SIZE:
            self.fail("page_size", f"expected 1 to {PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}; got {size}")
        return size or DEFAULT_PAGE_SIZE

    def request_id(self, field: str, text: str) -> uuid.UUID | None:
        """The id that makes a retry safe; None when there is none."""
        if not text:
            return None
        try:
            return uuid.UUID(text)
        except ValueError:
            self.fail(field, "expected a UUID such as 1b4e28ba-2fa1-4d3b-9c3a-0a1f6a7e5b11; got " + repr(text[:80]))
            return None

    def log_retention(self, field: str, duration: timedelta) -> timedelta:
        """For how long log files are kept."""
        if not LEAST_LOG_RETENTION <= duration <= MOST_LOG_RETENTION or duration.microseconds:
            self.fail(field, "expected whole seconds, 1 hour to 100 years; leave it out to keep logs for ever")
        return duration

    def run_duration(self, field: str, duration: timedelta) -> timedelta:
        """How long a run may be running."""
        if not LEAST_RUN_DURATION <= duration <= MOST_RUN_DURATION:
            self.fail(field, f"expected 1 s to {MOST_RUN_DURATION.days} days; got {duration.total_seconds():g} s")
        return duration

    def time(self, field: str, time: datetime | None) -> datetime | None:
        """A time that a caller tells; None where it tells none."""
        if time is not None and time < EARLIEST_TIME:
            self.fail(field, f"expected {EARLIEST_TIME:%Y-%m-%d} or later, got {time.isoformat()}")
        return time


def are_usual(tags: Tags, properties: Mapping[str, str]) -> bool:
    """Whether all these are plainly within their limits and hold no address: a quick look, which spares a full one."""
    texts = [*tags, *filter(None, tags.values()), *properties, *properties.values()]
    together = "".join(texts)
    return (
        len(texts) <= _USUAL_TEXTS
        and max(map(len, texts), default=0) <= KEY
        and together.isprintable()
        and "@" not in together
        and "" not in tags
        and "" not in properties
    )


def labels_bytes(labels: Mapping[str, str | None]) -> int:
    """How many bytes tags or properties take as JSON."""
    return len(json.dumps(labels, ensure_ascii=False).encode())


def described_bytes(entry: Workspace | Experiment) -> int:
    """About how many bytes a workspace or an experiment takes in a message."""
    return _FIXED_BYTES + text_bytes(entry.description) + labels_bytes(entry.tags)


def text_bytes(text: str | None) -> int:
    """How many bytes a text takes."""
    return len(text or "") if text is None or text.isascii() else len(text.encode())


def cut_end(text: str, limit: int) -> str:
    """The text, cut at its end to `limit` characters with a mark if it is longer."""
    return text if len(text) <= limit else text[: limit - len(_CUT)] + _CUT


def cut_middle(text: str, limit: int) -> str:
    """The text, its middle cut out with a mark if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    kept = (limit - len(_CUT)) // 2
    return text[:kept] + _CUT + text[-kept:]
