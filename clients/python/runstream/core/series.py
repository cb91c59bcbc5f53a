"""What reading metrics returns beyond plain values."""

from runstream.core._artifact_metric import ArtifactMetric
from runstream.core._series import Series
from runstream.core._tail import SeriesTail

__all__ = ["ArtifactMetric", "Series", "SeriesTail"]
