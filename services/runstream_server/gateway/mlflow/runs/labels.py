"""What keys and values of metrics, params and tags may be."""

import posixpath
import re
from dataclasses import dataclass
from typing import TypeAlias

from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.fields import Fields

KEY = 250
PARAM = 6_000
RUN_TAG = 8_000
EXPERIMENT_TAG = 20_000
"""Characters of keys and values."""

_KEY = re.compile(r"[\w\-./: ]+")
MAX_TIME = 2**63 - 1
MILLISECOND = 1_000
"""In microseconds."""

_MOST_MILLISECONDS = MAX_TIME // MILLISECOND

Identity: TypeAlias = tuple[int, int, float | None]


@dataclass(frozen=True, slots=True)
class LoggedMetric:
    """One value of a metric as it came."""

    key: str
    value: float

    timestamp: int
    """Milliseconds since the Unix epoch, UTC."""

    step: int

    model_id: str
    """The logged model that it says something about; empty: none."""

    dataset_name: str
    dataset_digest: str
    """What it was computed on; empty: unknown."""

    @property
    def time(self) -> int:
        """Microseconds since the Unix epoch, UTC."""
        return self.timestamp * MILLISECOND

    @property
    def identity(self) -> Identity:
        """What two equal ones of one metric have in common."""
        return identity(self.step, self.time, self.value)


def identity(step: int, time: int, value: float) -> Identity:
    """What equal values of one metric have in common; `time` is in microseconds since the Unix epoch.

    All NaN are one value, and so are 0.0 and -0.0, and times within one millisecond: clients of MLflow that send back
    what they read know no others.
    """
    return step, time - time % MILLISECOND, value if value == value else None


def read_key(fields: Fields) -> str:
    """The key of a metric, a param or a tag."""
    key = fields.text("key", most=KEY)
    if not _KEY.fullmatch(key):
        raise fields.error("key", "expected letters, digits, '_', '-', '.', '/', ':' and spaces")
    if posixpath.normpath(key) != key or key in (".", "..") or key.startswith(("/", "../")):
        raise fields.error("key", "expected a name that stays the same when it is read as a relative path")
    return key


def read_label(fields: Fields, most: int) -> tuple[str, str]:
    """The key and the value, up to `most` characters, of a param or a tag. An absent value is an empty one."""
    return read_key(fields), fields.text_or("value", "", most=most)


def read_labels(fields: Fields, name: str, most: int) -> dict[str, str]:
    """A list of params or tags; of several with one key the last one counts."""
    return dict(read_label(each, most) for each in fields.objects(name))


def read_params(fields: Fields) -> dict[str, str]:
    """The params of a batch. A key that comes twice is refused: which one to keep for ever?"""
    params: dict[str, str] = {}
    for each in fields.objects("params"):
        key, value = read_label(each, PARAM)
        if key in params:
            raise wrong(f"The batch has param '{key}' twice; a param has one value.")
        params[key] = value
    return params


def read_metric(fields: Fields) -> LoggedMetric:
    """A value of a metric."""
    metric = LoggedMetric(
        key=read_key(fields),
        value=fields.double("value"),
        timestamp=fields.integer("timestamp"),
        step=fields.integer_or("step", 0) or 0,
        model_id=fields.text_or("model_id", "", most=KEY),
        dataset_name=fields.text_or("dataset_name", "", most=500),
        dataset_digest=fields.text_or("dataset_digest", "", most=36),
    )
    if abs(metric.timestamp) > _MOST_MILLISECONDS:
        raise fields.error("timestamp", "expected milliseconds since the epoch, up to 292,000 years of them")
    return metric
