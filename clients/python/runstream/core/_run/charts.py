"""Charts and pictures of a run."""

import os
from typing import Any, Generic

from runstream._spool.artifacts import IMAGE
from runstream.core._artifact_paths import artifact_path
from runstream.core._charts import (
    ACCURACY_TABLE_CHART,
    CONFUSION_MATRIX_CHART,
    PREDICTIONS_CHART,
    RESIDUALS_CHART,
    Chart,
    encode,
)
from runstream.core._forms import E, R, W
from runstream.core._images import draw, image_file, plot_path
from runstream.core._run.capturing import CaptureCalls
from runstream.exceptions import AzureMLException, UserErrorException


class ChartCalls(CaptureCalls[W, E, R], Generic[W, E, R]):
    """Logs what becomes a file of the run. The bytes are kept on this machine until they are uploaded.

    Where the run has another file of that name already, the name gets a part that tells them apart: every picture and
    every chart is kept.
    """

    def log_image(
        self, name: str, path: str | os.PathLike[str] | None = None, plot: Any = None, description: str = ""
    ) -> None:
        """Logs a picture: a file, or a plot of matplotlib.

            run.log_image("confusion", path="confusion.png")
            run.log_image("loss curve", plot=matplotlib.pyplot)

        A plot is anything with a method `savefig`; it is stored as PNG and left open and unchanged.

        Raises:
            AzureMLException: Not exactly one of `path` and `plot` is given.
            UserErrorException: There is no such file, or it is no picture; the plot cannot be saved.
        """
        if (path is None) == (plot is None):
            raise AzureMLException("Invalid parameters: log_image takes either a path or a plot.")
        if plot is None:
            file, target = image_file(path)
            self._spool().log_artifact(name, IMAGE, target, file, description)
            return
        try:
            content = draw(plot)
        except UserErrorException:
            raise
        except Exception as error:  # noqa: BLE001  (whatever a plot raises, training goes on)
            self._spool().refuse(name, "PLOT_FAILED", f"the plot could not be drawn: {error or type(error).__name__}")
            return
        self._spool().log_artifact(name, IMAGE, plot_path(str(name)), content, description)

    def log_confusion_matrix(self, name: str, value: object, description: str = "") -> None:
        """Logs a confusion matrix, as a dict or JSON.

            run.log_confusion_matrix("confusion", {
                "schema_type": "confusion_matrix", "schema_version": "1.0.0",
                "data": {"class_labels": ["cat", "dog"], "matrix": [[8, 2], [1, 9]]},
            })

        `matrix` has a row per actual and a column per predicted class.

        Raises:
            UserErrorException: It is no JSON, or not of this shape; the message has the path of the bad field.
        """
        self._log_chart(CONFUSION_MATRIX_CHART, name, value, description)

    def log_accuracy_table(self, name: str, value: object, description: str = "") -> None:
        """Logs true and false positives and negatives by threshold, as a dict or JSON.

        `data` has `class_labels`, `probability_thresholds` and `percentile_thresholds`, and for each class and
        threshold the counts TP, FP, TN, FN in `probability_tables` and `percentile_tables`; schema version 1.0.1.

        Raises:
            UserErrorException: As for `log_confusion_matrix`.
        """
        self._log_chart(ACCURACY_TABLE_CHART, name, value, description)

    def log_residuals(self, name: str, value: object, description: str = "") -> None:
        """Logs a histogram of residuals, as a dict or JSON: `data` has n `bin_counts` and n + 1 `bin_edges`.

        Raises:
            UserErrorException: As for `log_confusion_matrix`.
        """
        self._log_chart(RESIDUALS_CHART, name, value, description)

    def log_predictions(self, name: str, value: object, description: str = "") -> None:
        """Logs predictions against true values, as a dict or JSON.

        `data` has n `bin_averages`, `bin_errors` and `bin_counts`, and n + 1 `bin_edges`.

        Raises:
            UserErrorException: As for `log_confusion_matrix`.
        """
        self._log_chart(PREDICTIONS_CHART, name, value, description)

    def _log_chart(self, chart: Chart, name: str, value: object, description: str) -> None:
        content = encode(chart, value)
        self._spool().log_artifact(name, chart.kind, artifact_path(str(name)), content, description)
