"""Metrics, logs and files of runs, as the command line shows them."""

import asyncio
import hashlib
import math
import urllib.request
from typing import Any

from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream.api.runs.v1.run_pb2 import Run
from tests.append_clients import doubles, metrics_stream
from tests.command_line import Cli, MakeRun
from tests.conftest import Backend
from tests.log_files import write_whole_log


async def store_file(channel: Any, run: Run, path: str, content: bytes) -> None:
    """A file of a run."""
    stub: Any = ArtifactServiceStub(channel)
    digest = hashlib.sha256(content).hexdigest()
    begin = artifacts.BeginUploadRequest(parent="workspaces/default", digest=digest, size_bytes=len(content))
    upload = await stub.BeginUpload(begin)
    if not upload.exists:
        request = urllib.request.Request(upload.url, content, dict(upload.headers), method="PUT")
        await asyncio.to_thread(lambda: urllib.request.urlopen(request).close())
        complete = artifacts.CompleteUploadRequest(parent="workspaces/default", upload_id=upload.upload_id)
        await stub.CompleteUpload(complete)
    binding = artifacts.ArtifactBinding(path=path, digest=digest)
    await stub.BindArtifacts(artifacts.BindArtifactsRequest(run=run.name, bindings=[binding]))


async def test_metrics_are_shown_as_summaries_and_as_values(cli: Cli, backend: Backend, make_run: MakeRun) -> None:
    run = await make_run("a")
    async with metrics_stream(backend.channel, run.name) as stream:
        await stream.send(1, doubles("loss", [3.0, 1.0, math.nan]), doubles("accuracy", [0.5], steps=[7]))
        await stream.acknowledged(1)

    summaries, values, both, table, empty = await asyncio.gather(
        cli("run", "metrics", "-r", "a"),
        cli("run", "metrics", "-r", "a", "--name", "loss"),
        cli("run", "metrics", "-r", "a", "--name", "loss", "--name", "accuracy", "--query", "[].[name, step, value]"),
        cli("run", "metrics", "-r", "a", "-o", "table"),
        cli("run", "metrics", "-r", "a", "--name", "unknown"),
    )

    assert [summary["name"] for summary in summaries.result] == ["accuracy", "loss"]
    assert summaries.result[1] | {"description": None} == {
        "name": "loss",
        "count": 3,
        "last": "NaN",
        "min": 1.0,
        "max": 3.0,
        "description": None,
    }
    assert [value["value"] for value in values.result] == [3.0, 1.0, "NaN"]
    assert values.result[1]["time_utc"] == "1970-01-01T00:00:00.000002Z"
    assert both.result == [["accuracy", 7, 0.5], ["loss", 0, 3.0], ["loss", 1, 1.0], ["loss", 2, "NaN"]]
    assert table.out.splitlines()[0].split() == ["Metric", "Count", "Last", "Min", "Max"]
    assert empty.result == []
    assert "unknown" in empty.err


async def test_rows_and_files_are_shown_as_values(cli: Cli, backend: Backend, make_run: MakeRun) -> None:
    run = await make_run("a")
    cells = [
        metrics.TableColumn(name="x", int64s=metrics.Int64Values(values=[1, 2])),
        metrics.TableColumn(name="y", nulls=metrics.NullValues(count=2)),
    ]
    table = metrics.SeriesColumns(metric="rows", times=[1, 2], table=metrics.TableValues(row_count=2, columns=cells))
    image = metrics.SeriesColumns(
        metric="image",
        times=[1],
        artifacts=metrics.ArtifactValues(kind=metrics.ARTIFACT_KIND_IMAGE, paths=["a.png"]),
    )
    async with metrics_stream(backend.channel, run.name) as stream:
        await stream.send(1, table, image)
        await stream.acknowledged(1)

    rows = await cli("run", "metrics", "-r", "a", "--name", "rows", "--name", "image", "--query", "[].[name, value]")
    shown = await cli("run", "metrics", "-r", "a", "--name", "rows", "-o", "table")

    assert rows.result == [["image", "a.png"], ["rows", {"x": 1, "y": None}], ["rows", {"x": 2, "y": None}]]
    assert '{"x": 1, "y": null}' in shown.out


async def test_logs_are_downloaded_into_folders(cli: Cli, backend: Backend, make_run: MakeRun) -> None:
    run = await make_run("a")
    await write_whole_log(backend, run.name, "user_logs/std_log.txt", b"one\n", b"two\n")
    await write_whole_log(backend, run.name, "logs/extra.txt", b"\xff\x00")

    default = await cli("run", "download-logs", "-r", "a")
    chosen = await cli("run", "download-logs", "-r", "a", "-d", "here", "-o", "tsv")

    assert sorted(default.result) == ["assets/a/logs/extra.txt", "assets/a/user_logs/std_log.txt"]
    assert (cli.folder / "assets/a/user_logs/std_log.txt").read_bytes() == b"one\ntwo\n"
    assert (cli.folder / "here/logs/extra.txt").read_bytes() == b"\xff\x00"
    assert len(chosen.out.splitlines()) == 2


async def test_files_are_listed_and_downloaded(cli: Cli, backend: Backend, make_run: MakeRun) -> None:
    run = await make_run("a")
    await store_file(backend.channel, run, "outputs/model.bin", b"model")
    await store_file(backend.channel, run, "outputs/deep/weights.bin", b"weights")

    listed = await cli("artifact", "ls", "-r", "a", "--query", "[].[path, size_bytes]")
    below = await cli("artifact", "ls", "-r", "a", "--prefix", "outputs/d", "--query", "[].path")
    one = await cli("artifact", "get", "-r", "a", "outputs/model.bin")
    tree = await cli("artifact", "get", "-r", "a", "outputs", "-d", "there")

    assert listed.result == [["outputs/deep/weights.bin", 7], ["outputs/model.bin", 5]]
    assert below.result == ["outputs/deep/weights.bin"]
    assert one.result == ["model.bin"]
    assert (cli.folder / "model.bin").read_bytes() == b"model"
    assert sorted(tree.result) == ["there/outputs/deep/weights.bin", "there/outputs/model.bin"]
    assert (cli.folder / "there/outputs/deep/weights.bin").read_bytes() == b"weights"
