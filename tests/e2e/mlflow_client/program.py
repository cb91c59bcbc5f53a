"""What users write with a stock client of MLflow, as a program: it knows nothing of Runstream.

`python -m tests.e2e.mlflow_client.program FILE` does it where `MLFLOW_TRACKING_URI` leads, and writes what it read back
as JSON to a file: by the name of each row its result, or the traceback of its failure.
"""

import json
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.mlflow_client import model_rows, registry_rows, tracking_rows

Row = Callable[[Path], Any]


def main(file: Path) -> None:
    """Executes all rows, each in a folder of its own."""
    results = {}
    for module in (tracking_rows, model_rows, registry_rows):
        for row in module.ROWS:
            with tempfile.TemporaryDirectory() as folder:
                results[row.__name__] = _executed(row, Path(folder))
    file.write_text(json.dumps(results), "utf-8")


def _executed(row: Row, folder: Path) -> Any:
    try:
        return row(folder)
    except Exception:  # noqa: BLE001 - the others are tried too, and the test says which failed
        return {"failure": traceback.format_exc()}
    finally:
        tracking_rows.end_all_runs()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
