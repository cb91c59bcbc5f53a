"""The registry of models."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression

NAME = "house prices"
REQUIREMENTS = ["scikit-learn"]


def registry(folder: Path) -> Any:
    """Registers two versions of a model, names them, finds and loads them."""
    client, fitted = MlflowClient(), LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, 3.0])
    with mlflow.start_run(run_name="registered"):
        logged = mlflow.sklearn.log_model(
            fitted,
            name="line",
            registered_model_name=NAME,
            serialization_format="pickle",
            pip_requirements=REQUIREMENTS,
        )
    second = mlflow.register_model(logged.model_uri, NAME, tags={"tested": "yes"})
    client.update_registered_model(NAME, description="of houses")
    client.set_registered_model_tag(NAME, "team", "vision")
    client.set_registered_model_alias(NAME, "champion", "2")
    client.set_model_version_tag(NAME, "1", "old", "yes")
    client.update_model_version(NAME, "1", description="the first")
    known = client.get_registered_model(NAME)
    return {
        "versions": [str(logged.registered_model_version), str(second.version)],
        "description": known.description,
        "tags": dict(known.tags),
        "aliases": {key: str(value) for key, value in known.aliases.items()},
        "found": sorted(str(each.version) for each in client.search_model_versions(f"name = '{NAME}'")),
        "models": [each.name for each in client.search_registered_models("name LIKE 'house%'")],
        "champion": _version(client.get_model_version_by_alias(NAME, "champion")),
        "first": _version(client.get_model_version(NAME, "1")),
        "predicted": [_predicted(f"models:/{NAME}/1"), _predicted(f"models:/{NAME}@champion")],
        "registrations": mlflow.get_logged_model(logged.model_id).tags.get("mlflow.modelVersions") is not None,
    }


def registry_ends(folder: Path) -> Any:
    """Moves a version through stages, and removes what was made."""
    client = MlflowClient()
    client.transition_model_version_stage(NAME, "2", "Production")
    production = [str(each.version) for each in client.get_latest_versions(NAME, ["Production"])]
    client.delete_registered_model_alias(NAME, "champion")
    client.delete_registered_model_tag(NAME, "team")
    client.delete_model_version_tag(NAME, "1", "old")
    client.delete_model_version(NAME, "1")
    client.rename_registered_model(NAME, "flat prices")
    renamed = client.get_registered_model("flat prices")
    client.delete_registered_model("flat prices")
    try:
        client.get_registered_model("flat prices")
    except MlflowException as error:
        return {"production": production, "tags": renamed.tags, "aliases": renamed.aliases, "gone": error.error_code}
    return "it is still there"


def _version(version: Any) -> list[Any]:
    return [str(version.version), version.status, version.description or "", dict(version.tags)]


def _predicted(uri: str) -> float:
    return round(float(mlflow.pyfunc.load_model(uri).predict(np.array([[4.0]]))[0]), 3)


ROWS = (registry, registry_ends)
