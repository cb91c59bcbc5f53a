"""Files that were logged as metrics, as `get_metrics(populate=True)` hands them out."""

import json
from typing import Any, Final

from runstream.core._artifact_paths import artifact_uri
from runstream.exceptions import UserErrorException

NAMES: Final = {1: "image", 2: "confusion_matrix", 3: "accuracy_table", 4: "residuals", 5: "predictions"}


class ArtifactMetric:
    """A picture or chart of a run."""

    def __init__(self, run_id: str, path: str, kind: int, content: bytes) -> None:
        self.filename = path
        """The path of the file in the run."""
        self.data_location = artifact_uri(run_id, path)
        """What `get_metrics` says in the place of this object without `populate`."""
        self.metric_type = f"azureml.v1.{NAMES.get(kind, 'artifact')}"
        """`azureml.v1.image` or that of the chart, as SDK v1 calls them."""
        self.data: bytes | str = content if kind == 1 else content.decode("utf-8", "replace")
        """The bytes of a picture, the JSON of a chart."""

    def convert_to_object(self) -> Any:
        """The document of a chart.

        Raises:
            UserErrorException: This is a picture.
        """
        if isinstance(self.data, bytes):
            raise UserErrorException(f"{self.filename} is an image, not JSON; its bytes are in .data.")
        return json.loads(self.data)

    def __repr__(self) -> str:
        return f"<{self.metric_type} {self.data_location}>"
