"""Models that runs make, and autologging."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from sklearn.linear_model import LinearRegression, LogisticRegression

REQUIREMENTS = ["scikit-learn"]
X = np.array([[0.0], [1.0], [2.0], [3.0]])


def model(folder: Path) -> Any:
    """Logs a model, and loads it in the ways there are."""
    with mlflow.start_run(run_name="model") as run:
        fitted = LinearRegression().fit(X, 2 * X[:, 0])
        mlflow.log_param("depth", 3)
        logged = mlflow.sklearn.log_model(
            fitted,
            name="line",
            input_example=X[:1],
            params={"kind": "line"},
            serialization_format="pickle",
            pip_requirements=REQUIREMENTS,
        )
        mlflow.log_metric("rmse", 0.5, model_id=logged.model_id)
    run_id, known = run.info.run_id, mlflow.get_logged_model(logged.model_id)
    found = mlflow.search_logged_models(
        [run.info.experiment_id], f"name = 'line' AND source_run_id = '{run_id}'", output_format="list"
    )
    return {
        "run": run_id,
        "status": str(known.status),
        "name": known.name,
        "source": known.source_run_id == run_id,
        "params": dict(known.params),
        "metrics": [(each.key, each.value, each.run_id == run_id) for each in known.metrics or []],
        "found": [each.model_id == logged.model_id for each in found],
        "outputs": [each.model_id == logged.model_id for each in mlflow.get_run(run_id).outputs.model_outputs],
        "by_id": _predicted(f"models:/{logged.model_id}"),
        "by_run": _predicted(f"runs:/{run_id}/line"),
        "by_uri": _predicted(logged.model_uri),
        "files": sorted(each.path for each in mlflow.artifacts.list_artifacts(logged.model_uri)),
    }


def model_alone(folder: Path) -> Any:
    """A logged model without a run, its tags, and its end."""
    client = MlflowClient()
    made = mlflow.create_external_model(name="external", params={"a": "1"}, model_type="agent")
    client.set_logged_model_tags(made.model_id, {"stage": "test", "gone": "1"})
    client.delete_logged_model_tag(made.model_id, "gone")
    known = mlflow.get_logged_model(made.model_id)
    client.delete_logged_model(made.model_id)
    left = mlflow.search_logged_models(filter_string="name = 'external'", output_format="list")
    return {
        "type": known.model_type,
        "tags": {key: value for key, value in known.tags.items() if not key.startswith("mlflow.")},
        "params": dict(known.params),
        "left": len(left),
    }


def autolog(folder: Path) -> Any:
    """Has scikit-learn log by itself."""
    mlflow.sklearn.autolog(silent=True)
    try:
        with mlflow.start_run(run_name="autolog") as run:
            LogisticRegression(C=0.5).fit(X, [0, 0, 1, 1])
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = mlflow.get_run(run.info.run_id)
    return {
        "run": run.info.run_id,
        "C": found.data.params["C"],
        "metrics": sorted(found.data.metrics),
        "tag": found.data.tags["estimator_name"],
        "models": len(found.outputs.model_outputs),
        "files": sorted(each.path for each in MlflowClient().list_artifacts(run.info.run_id)),
    }


def _predicted(uri: str) -> float:
    return round(float(mlflow.pyfunc.load_model(uri).predict(np.array([[4.0]]))[0]), 3)


ROWS = (model, model_alone, autolog)
