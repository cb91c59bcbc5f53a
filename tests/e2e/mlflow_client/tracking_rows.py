"""Experiments, runs and their files."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

EXPERIMENT = "acceptance"


def end_all_runs() -> None:
    """Leaves no run active."""
    while mlflow.active_run():
        mlflow.end_run()


def experiment(folder: Path) -> Any:
    """Makes an experiment, finds it again, and describes it."""
    first = mlflow.set_experiment(EXPERIMENT)
    again = mlflow.set_experiment(EXPERIMENT)
    mlflow.set_experiment_tag("team", "vision")
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    return {
        "ids": [first.experiment_id, again.experiment_id, found.experiment_id],
        "name": found.name,
        "stage": found.lifecycle_stage,
        "tags": dict(found.tags),
        "unknown": mlflow.get_experiment_by_name("nowhere"),
    }


def values(folder: Path) -> Any:
    """Logs in all ways, and reads the run."""
    with mlflow.start_run(run_name="values", tags={"first": "1"}, description="a note") as run:
        for step, value in enumerate([3.0, 2.5, 1.25]):
            mlflow.log_metric("loss", value, step=step)
        mlflow.log_metric("odd/name with.dots-1", math.nan)
        mlflow.log_metric("top", math.inf)
        mlflow.log_metrics({"a": 1.0, "b": -math.inf}, step=7)
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"depth": 3, "empty": ""})
        mlflow.set_tag("quality", "good")
        mlflow.set_tags({"x": "1", "gone": "2"})
        mlflow.delete_tag("gone")
        mlflow.log_metric("late", 4.5, step=1, synchronous=False).wait()
        mlflow.log_params({"late": "yes"}, synchronous=False).wait()
        mlflow.flush_async_logging()
    found = mlflow.get_run(run.info.run_id)
    return {
        "run": run.info.run_id,
        "status": found.info.status,
        "name": found.info.run_name,
        "metrics": {key: repr(value) for key, value in found.data.metrics.items()},
        "params": dict(found.data.params),
        "tags": _own(found.data.tags),
        "system": sorted(key for key in found.data.tags if key.startswith("mlflow.")),
        "history": _points(MlflowClient().get_metric_history(run.info.run_id, "loss")),
        "unknown": MlflowClient().get_metric_history(run.info.run_id, "unknown"),
        "ordered": found.info.start_time <= found.info.end_time,
    }


def batch(folder: Path) -> Any:
    """Logs a batch twice, as after an answer that was lost: each point is there once, also where the key repeats."""
    client, now = MlflowClient(), 1_700_000_000_000
    run = client.create_run(_experiment_id(), start_time=now, run_name="batch").info.run_id
    points = [Metric("loss", float(step % 3), now + step, step // 2) for step in range(1000 - 20)]
    for _ in range(2):
        client.log_batch(run, points, [Param("p", "1")] * 1, [RunTag("t", "1")])
    client.log_batch(run, [], [Param(f"p{number}", "1") for number in range(150)], [])
    client.set_terminated(run, "FAILED", now + 5000)
    history = client.get_metric_history(run, "loss")
    found = client.get_run(run)
    return {
        "run": run,
        "count": len(history),
        "last": _points(history[-1:]),
        "latest": found.data.metrics,
        "params": len(found.data.params),
        "status": found.info.status,
        "end_time": found.info.end_time,
    }


def files(folder: Path) -> Any:
    """Writes files, lists them, and fetches them."""
    (folder / "notes.txt").write_text("from a file")
    (folder / "more" / "deep").mkdir(parents=True)
    (folder / "more" / "deep" / "empty.bin").write_bytes(b"")
    with mlflow.start_run(run_name="files") as run:
        mlflow.log_text("some text", "texts/odd name +é.txt")
        mlflow.log_dict({"a": [1, 2]}, "config.json")
        mlflow.log_artifact(str(folder / "notes.txt"), "notes")
        mlflow.log_artifacts(str(folder / "more"), "more")
        mlflow.log_text("replaced", "notes/notes.txt")
        mlflow.log_table({"x": [1, 2]}, "table.json")
    client, run_id = MlflowClient(), run.info.run_id
    fetched = Path(mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(folder / "all")))
    return {
        "run": run_id,
        "root": [(each.path, each.is_dir, each.file_size) for each in client.list_artifacts(run_id)],
        "notes": [(each.path, each.is_dir, each.file_size) for each in client.list_artifacts(run_id, "notes")],
        "nothing": client.list_artifacts(run_id, "unknown"),
        "fetched": sorted(str(each.relative_to(fetched)) for each in fetched.rglob("*") if each.is_file()),
        "text": mlflow.artifacts.load_text(f"runs:/{run_id}/texts/odd name +é.txt"),
        "replaced": mlflow.artifacts.load_text(f"runs:/{run_id}/notes/notes.txt"),
        "dict": mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/config.json"),
    }


def images(folder: Path) -> Any:
    """Logs pictures, one with a key and a step."""
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    with mlflow.start_run(run_name="images") as run:
        mlflow.log_image(picture, "plain.png")
        mlflow.log_image(picture, key="dogs", step=3)
    mlflow.flush_artifact_async_logging()
    listed = MlflowClient().list_artifacts(run.info.run_id, "images")
    tags = mlflow.get_run(run.info.run_id).data.tags
    return {"run": run.info.run_id, "names": [each.path for each in listed], "tag": tags.get("mlflow.loggedImages")}


def inputs(folder: Path) -> Any:
    """Notes which data a run used."""
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    dataset = mlflow.data.from_pandas(frame, source="https://example.com/data.csv", name="points", targets="y")
    with mlflow.start_run(run_name="inputs") as run:
        mlflow.log_input(dataset, context="training", tags={"fold": "1"})
        mlflow.log_input(dataset, context="training", tags={"fold": "1"})
        mlflow.log_metric("accuracy", 0.5, dataset=dataset)
    (found,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    searched = mlflow.search_runs([_experiment_id()], "datasets.name = 'points'", output_format="list")
    return {
        "name": found.dataset.name,
        "digest": found.dataset.digest == dataset.digest,
        "source": found.dataset.source,
        "tags": {each.key: each.value for each in found.tags},
        "searched": [each.info.run_id == run.info.run_id for each in searched],
    }


def nested(folder: Path) -> Any:
    """Runs within a run, and after it."""
    with mlflow.start_run(run_name="outer") as outer:
        with mlflow.start_run(run_name="inner", nested=True) as inner:
            mlflow.log_metric("m", 1)
        mlflow.log_metric("m", 2)
    children = mlflow.search_runs(
        [_experiment_id()], f"tags.`mlflow.parentRunId` = '{outer.info.run_id}'", output_format="list"
    )
    return {
        "outer": outer.info.run_id,
        "inner": inner.info.run_id,
        "found": [each.info.run_id for each in children],
        "parent": mlflow.get_parent_run(inner.info.run_id).info.run_id,
    }


def resumed(folder: Path) -> Any:
    """Goes on with a run that has ended."""
    with mlflow.start_run(run_name="resumed") as run:
        mlflow.log_metric("m", 1, step=0)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("m", 2, step=1)
    MlflowClient().update_run(run.info.run_id, name="renamed")
    found = mlflow.get_run(run.info.run_id)
    return {
        "run": run.info.run_id,
        "status": found.info.status,
        "name": found.info.run_name,
        "tag": found.data.tags["mlflow.runName"],
        "history": _points(MlflowClient().get_metric_history(run.info.run_id, "m")),
    }


def failed(folder: Path) -> Any:
    """A run that ends with an exception, and one that is killed."""
    try:
        with mlflow.start_run(run_name="raises") as run:
            raise ValueError("on purpose")
    except ValueError:
        pass
    killed = mlflow.start_run(run_name="killed")
    mlflow.end_run("KILLED")
    return [mlflow.get_run(each.info.run_id).info.status for each in (run, killed)]


def searches(folder: Path) -> Any:
    """Searches runs, in several pages, orders and languages."""
    name = mlflow.set_experiment("searched").experiment_id
    for number in range(5):
        with mlflow.start_run(run_name=f"run-{number}", tags={"parity": str(number % 2)}):
            mlflow.log_metric("val loss", number / 10)
            mlflow.log_param("number", number)
    client, pages, token = MlflowClient(), [], None
    while True:
        page = client.search_runs([name], max_results=2, order_by=["metrics.`val loss` DESC"], page_token=token)
        pages.append([each.info.run_name for each in page])
        token = page.token
        if not token:
            break
    frame = mlflow.search_runs(experiment_names=["searched"], order_by=["params.number ASC"])
    chosen = mlflow.search_runs(
        [name], "metrics.`val loss` > 0.1 AND tags.parity = '0' and params.number LIKE '%'", output_format="list"
    )
    mlflow.set_experiment(EXPERIMENT)
    return {
        "pages": pages,
        "frame": list(frame["params.number"]),
        "columns": sorted(set(frame.columns) & {"metrics.val loss", "tags.parity", "run_id", "status"}),
        "chosen": sorted(each.info.run_name for each in chosen),
        "wrong": _refused(lambda: mlflow.search_runs([name], "metrics.x ~ 3")),
    }


def lifecycles(folder: Path) -> Any:
    """Deletes and restores runs and experiments, and renames one."""
    client = MlflowClient()
    made = client.create_experiment("Some Name / with: signs", tags={"t": "1"})
    run = client.create_run(made).info.run_id
    client.delete_run(run)
    deleted = [client.get_run(run).info.lifecycle_stage, len(client.search_runs([made])), *_found(client, made)]
    refused = _refused(lambda: client.log_metric(run, "m", 1))
    client.restore_run(run)
    client.rename_experiment(made, "renamed")
    client.delete_experiment(made)
    archived = [client.get_experiment(made).lifecycle_stage, client.get_run(run).info.lifecycle_stage]
    client.restore_experiment(made)
    named = client.search_experiments(filter_string="name LIKE 'ren%'", order_by=["name DESC"])
    return {
        "deleted": deleted,
        "refused": refused.replace(run, "RUN"),
        "archived": archived,
        "restored": [client.get_experiment(made).lifecycle_stage, client.get_run(run).info.lifecycle_stage],
        "named": [(each.name, each.tags) for each in named],
        "default": client.get_experiment("0").name,
        "all": sorted(each.name for each in client.search_experiments()),
    }


def errors(folder: Path) -> Any:
    """What goes wrong says so as users know it."""
    client = MlflowClient()
    run = client.create_run(_experiment_id()).info.run_id
    client.log_param(run, "lr", "0.1")
    client.log_param(run, "lr", "0.1")
    texts = [
        _refused(lambda: client.get_run("f" * 32)),
        _refused(lambda: client.get_experiment("987654")),
        _refused(lambda: client.log_param(run, "lr", "other")),
        _refused(lambda: client.create_experiment(EXPERIMENT)),
        _refused(lambda: client.delete_tag(run, "absent")),
    ]
    client.set_terminated(run)
    return [text.replace(run, "RUN") for text in texts]


def traces(folder: Path) -> Any:
    """Traces are not kept, and do no harm."""
    with mlflow.start_span("work") as span:
        span.set_inputs({"x": 1})
    mlflow.flush_trace_async_logging()
    return "done"


ROWS = (
    *(experiment, values, batch, files, images, inputs, nested, resumed, failed),
    *(searches, lifecycles, errors, traces),
)


def _experiment_id() -> str:
    return str(mlflow.get_experiment_by_name(EXPERIMENT).experiment_id)


def _found(client: MlflowClient, experiment_id: str) -> list[int]:
    return [
        len(client.search_runs([experiment_id], run_view_type=view)) for view in (ViewType.DELETED_ONLY, ViewType.ALL)
    ]


def _points(history: list[Metric]) -> list[tuple[int, float]]:
    assert all(abs(each.timestamp / 1000 - time.time()) < 1e9 for each in history)
    return [(each.step, each.value) for each in history]


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith("mlflow.")}


def _refused(call: Any) -> str:
    try:
        call()
    except MlflowException as error:
        return str(error)
    return "it was not refused"
