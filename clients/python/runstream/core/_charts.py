"""The JSON documents of charts that are logged: section 12 of what SDK v1 has."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from runstream._spool.artifacts import ACCURACY_TABLE, CONFUSION_MATRIX, PREDICTIONS, RESIDUALS
from runstream.exceptions import UserErrorException

COUNTS: Final = 4
"""True positives, false positives, true negatives, false negatives."""


class Chart(NamedTuple):
    """A kind of document."""

    kind: int
    schema_type: str
    schema_version: str
    """The version that is checked; others are stored as they are."""
    check: Callable[["Field"], None]


class Field:
    """A value in a document, and where it stands there.

    Raises:
        UserErrorException: It is not what it is taken for; from each method.
    """

    def __init__(self, path: str, value: Any) -> None:
        self._path = path
        self._value = value

    def member(self, name: str) -> "Field":
        """The member of an object."""
        if not isinstance(self._value, Mapping):
            raise self._error("is no object")
        if name not in self._value:
            raise UserErrorException(f"The document is not valid: {self._path}.{name} is missing.")
        return Field(f"{self._path}.{name}", self._value[name])

    def items(self, count: int | None = None) -> "list[Field]":
        """The items of an array, `count` of them if that is known."""
        if not isinstance(self._value, list):
            raise self._error("is no array")
        if count is not None and len(self._value) != count:
            raise self._error(f"has {len(self._value)} items instead of {count}")
        return [Field(f"{self._path}[{place}]", item) for place, item in enumerate(self._value)]

    def numbers(self, count: int | None = None) -> int:
        """An array of numbers; how many. A number that is missing may be null."""
        items = self.items(count)
        for item in items:
            item.number()
        return len(items)

    def number(self) -> float:
        """A number; of null, NaN."""
        if self._value is None:
            return math.nan
        if isinstance(self._value, bool) or not isinstance(self._value, int | float):
            raise self._error("is no number")
        return self._value

    def share(self) -> None:
        """A number from 0 to 1."""
        if not 0 <= self.number() <= 1:
            raise self._error("is not within 0 and 1")

    def text(self) -> str:
        """A text."""
        if not isinstance(self._value, str):
            raise self._error("is no text")
        return self._value

    def label(self) -> None:
        """A text or a number."""
        if not isinstance(self._value, str):
            self.number()

    def _error(self, problem: str) -> UserErrorException:
        return UserErrorException(f"The document is not valid: {self._path} {problem}.")


def encode(chart: Chart, value: object) -> bytes:
    """A document as it is stored: JSON, with null for NaN and infinities, which JSON does not have.

    Raises:
        UserErrorException: It is no JSON, or not a document of this kind.
    """
    document = json.loads(_text(value), parse_constant=lambda _: None)
    root = Field("$", document)
    if (schema_type := root.member("schema_type").text()) != chart.schema_type:
        raise UserErrorException(
            f"The document is not valid: $.schema_type is {schema_type!r}, not {chart.schema_type!r}."
        )
    data = root.member("data")
    if root.member("schema_version").text() == chart.schema_version:
        chart.check(data)
    return json.dumps(document).encode()


def _text(value: object) -> str:
    """A document as JSON that may have NaN in it."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except (ValueError, RecursionError) as error:
            raise UserErrorException(f"Invalid JSON: {error}.", error) from None
        return value
    if not isinstance(value, Mapping):
        raise UserErrorException(f"A document is a dict or a JSON string, not a {type(value).__qualname__}.")
    try:
        return json.dumps(dict(value), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserErrorException(f"Invalid JSON: {error}.", error) from None


def _plain(value: Any) -> object:
    """Arrays and numbers of numpy and the like."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__qualname__} cannot be written as JSON")


def _check_confusion_matrix(data: Field) -> None:
    labels = data.member("class_labels").items()
    for label in labels:
        label.label()
    for row in data.member("matrix").items(len(labels)):
        row.numbers(len(labels))


def _check_accuracy_table(data: Field) -> None:
    labels = data.member("class_labels").items()
    for label in labels:
        label.label()
    for cut in ("probability", "percentile"):
        thresholds = data.member(f"{cut}_thresholds").items()
        for threshold in thresholds:
            threshold.share()
        for table in data.member(f"{cut}_tables").items(len(labels)):
            for counts in table.items(len(thresholds)):
                counts.numbers(COUNTS)


def _check_residuals(data: Field) -> None:
    _check_bins(data)


def _check_predictions(data: Field) -> None:
    count = _check_bins(data)
    data.member("bin_averages").numbers(count)
    data.member("bin_errors").numbers(count)


def _check_bins(data: Field) -> int:
    count = data.member("bin_counts").numbers()
    data.member("bin_edges").numbers(count + 1)
    return count


CONFUSION_MATRIX_CHART: Final = Chart(CONFUSION_MATRIX, "confusion_matrix", "1.0.0", _check_confusion_matrix)
ACCURACY_TABLE_CHART: Final = Chart(ACCURACY_TABLE, "accuracy_table", "1.0.1", _check_accuracy_table)
RESIDUALS_CHART: Final = Chart(RESIDUALS, "residuals", "1.0.0", _check_residuals)
PREDICTIONS_CHART: Final = Chart(PREDICTIONS, "predictions", "1.0.0", _check_predictions)
