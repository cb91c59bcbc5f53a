"""Trains a classifier of handwritten digits and records the runs: one per learning rate, below one parent run.

Needs scikit-learn and matplotlib, and a Runstream backend: `runstream up` on this machine is found by itself.
"""

import argparse
import time
from pathlib import Path

import joblib
import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from runstream.core import Experiment, Run, Workspace

mpl.use("Agg")


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training features, test features, training labels and test labels: 8 x 8 pixels each, scaled."""
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(digits.data, digits.target, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), scaler.transform(x_test), y_train, y_test


def train(run: Run, learning_rate: float, epochs: int) -> float:
    """Trains one classifier, logs loss and accuracy per epoch, keeps the model; returns the accuracy in the end."""
    x_train, x_test, y_train, y_test = load()
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=0)
    accuracy = 0.0
    for epoch in range(epochs):
        model.partial_fit(x_train, y_train, classes=np.arange(10))
        loss = log_loss(y_test, model.predict_proba(x_test).clip(1e-9, 1), labels=np.arange(10))
        accuracy = accuracy_score(y_test, model.predict(x_test))
        run.log("loss", loss, step=epoch)
        run.log("accuracy", accuracy, step=epoch)
        if epoch % 10 == 9:
            print(f"learning rate {learning_rate:<6g} epoch {epoch + 1:>3}  loss {loss:.3f}  accuracy {accuracy:.3f}")
    keep(run, model, x_test, y_test)
    return accuracy


def keep(run: Run, model: SGDClassifier, x_test: np.ndarray, y_test: np.ndarray) -> None:
    """Puts the model among the files of the run, and logs its confusion matrix, as numbers and as a picture."""
    outputs = Path("outputs") / run.id
    outputs.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, outputs / "model.joblib")
    picture = ConfusionMatrixDisplay.from_estimator(model, x_test, y_test, colorbar=False).figure_
    run.log_image("confusion matrix picture", plot=picture)
    counts = confusion_matrix(y_test, model.predict(x_test))
    run.log_confusion_matrix("confusion matrix", chart(counts))
    run.log_table("errors by digit", {"digit": range(10), "errors": counts.sum(axis=1) - counts.diagonal()})
    run.upload_folder("outputs", str(outputs))


def chart(counts: np.ndarray) -> dict[str, object]:
    """A confusion matrix, counts by actual and predicted digit, as the document that is logged."""
    data = {"class_labels": [str(digit) for digit in range(10)], "matrix": counts.tolist()}
    return {"schema_type": "confusion_matrix", "schema_version": "1.0.0", "data": data}


def main() -> None:
    """Searches the best of some learning rates."""
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.")
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.0001, 0.001, 0.01, 0.1])
    arguments = parser.parse_args()

    workspace = Workspace.get("default")
    experiment = Experiment(workspace, arguments.experiment)
    with experiment.start_logging(display_name="learning rate search", outputs=False) as search:
        began = time.perf_counter()
        print(f"Run {search.id}")
        results: list[tuple[float, Run]] = []
        for rate in arguments.learning_rates:
            with search.child_run(name=f"rate {rate:g}") as child:
                child.tag("learning_rate", f"{rate:g}")
                results.append((train(child, rate, arguments.epochs), child))
                search.log("best accuracy", max(accuracy for accuracy, _ in results))
        accuracy, best = max(results, key=lambda result: result[0])
        best.tag("best")
        search.tag("best_run", best.id)
        print(f"Best: {best.id} with accuracy {accuracy:.3f}, after {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
