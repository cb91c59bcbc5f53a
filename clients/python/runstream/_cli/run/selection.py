"""Which runs a command is about, as a filter of the service."""

from collections.abc import Sequence
from dataclasses import dataclass

from runstream.core._filters import all_of, equals, labelled

PIPELINE_PROPERTY = "azureml.pipelinerunid"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which runs a command is about. What is None or empty asks nothing."""

    experiment: str | None = None
    parent: str | None = None
    """The id of the run whose children they are; None: top-level runs."""

    pipeline: str | None = None
    """The id of the pipeline run whose steps they are."""

    target: str | None = None
    status: str | None = None
    tags: Sequence[str] = ()
    """Each a `key=value` that they have, or a `key` that they have with any value or none."""

    filter: str | None = None
    """More to ask, in the filter language of the service."""

    include_children: bool = False
    """Whether runs below the top level are meant too."""

    def to_filter(self) -> str:
        """The filter; `filter` comes first in it, so that positions in messages about it are right."""
        return all_of(
            self.filter or "",
            self._level(),
            equals("experiment", self.experiment if not self.parent else None),
            equals("target", self.target),
            equals("status", self.status),
            *(_tag(text) for text in self.tags),
        )

    def _level(self) -> str:
        if self.parent:
            return equals("parent", self.parent)
        if self.pipeline:
            return labelled("properties", {PIPELINE_PROPERTY: self.pipeline})
        return "" if self.include_children else "NOT parent:*"


def _tag(text: str) -> str:
    key, separator, value = text.partition("=")
    return labelled("tags", {key: value}) if separator else labelled("tags", key)
