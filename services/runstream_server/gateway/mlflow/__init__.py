"""The REST interface of MLflow, as its own Python client speaks it (`docs/mlflow.md`)."""
