"""ReadLatestValues: of each series exactly the number at its greatest step, wherever its values are."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import grpc
import numpy as np
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.metrics.maintenance.compaction import Compaction
from runstream_server.metrics.maintenance.compaction_store import CompactionStore
from runstream_server.metrics.maintenance.fragments import Fragments
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from runstream_server.sealing.pace import Pace
from tests import stubs
from tests.append_clients import failure_of_stream, metrics_stream
from tests.conftest import Backend
from tests.latest_model import LatestModel, columns_of, latest_values, random_batch
from tests.make_runs import make_run, make_workspace

LONG = 40_000


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


async def write(backend: Backend, run: str, *batches: list[messages.SeriesColumns], writer: str = "writer") -> None:
    """Writes batches one after the other, each in a commit of its own."""
    async with metrics_stream(backend.channel, run, writer) as stream:
        for sequence, batch in enumerate(batches, await stream.opened() + 1):
            await stream.send(sequence, *batch)
            await stream.acknowledged(sequence)


async def seal(backend: Backend, postgres: Postgres, run: str) -> None:
    """Ends a run and waits until all its values are in the bucket."""
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))
    await until_sealed(postgres)


async def until_sealed(postgres: Postgres) -> None:
    waiting = "SELECT EXISTS (SELECT FROM metrics.chunk) OR EXISTS (SELECT FROM metrics.seal_task)"
    async with asyncio.timeout(30):
        while await postgres.fetchval(waiting):
            pass


async def forget(postgres: Postgres) -> None:
    """As if nobody had asked yet, and runs had been sealed by an earlier version."""
    await postgres.execute("DELETE FROM metrics.latest_value")


async def latest_of(backend: Backend, run: str, metric: str = "m") -> tuple[int, int, str]:
    ((_, _, step, time, value),) = await latest_values(backend.channel, [run], [metric])
    return step, time, value


@pytest.mark.parametrize(
    ("values", "steps", "times", "latest"),
    [
        ([1.0, 2.0, 3.0], [9, 8, 7], [1, 2, 3], (9, 1, "1.0")),
        ([1.0, 2.0, 3.0], [5, 5, 4], [2, 1, 3], (5, 2, "1.0")),
        ([1.0, 3.0, 2.0], [5, 5, 5], [2, 2, 2], (5, 2, "3.0")),
        ([math.nan, -math.inf], [0, 0], [2, 2], (0, 2, "-inf")),
        ([-math.inf, math.nan], [0, 1], [2, 2], (1, 2, "nan")),
        ([math.inf, 1e300], [-4, -4], [-2, -2], (-4, -2, "inf")),
        ([4.0, 5.0], [], [2, 1], (1, 1, "5.0")),
        ([7, -7], [2**63 - 1, -(2**63)], [1, 1], (2**63 - 1, 1, "7.0")),
        ([False, True], [3, 3], [1, 1], (3, 1, "1.0")),
    ],
)
async def test_of_the_greatest_step_the_latest_time_and_of_it_the_greatest_number_counts(
    backend: Backend, run: str, values: list[object], steps: list[int], times: list[int], latest: tuple[int, int, str]
) -> None:
    await write(backend, run, [columns_of("m", values, steps, times)])

    assert await latest_of(backend, run) == latest


async def test_what_is_no_number_is_left_out(backend: Backend, run: str) -> None:
    column = messages.TableColumn(name="x", int64s=messages.Int64Values(values=[4]))
    table = messages.TableValues(row_count=1, columns=[column])
    artifacts = messages.ArtifactValues(kind=messages.ARTIFACT_KIND_IMAGE, paths=["a.png"])
    nothing = messages.SeriesColumns(metric="nothing")
    nothing.nulls.count = 0
    await write(
        backend,
        run,
        [
            columns_of("mixed", [2.0], [4], [1]),
            columns_of("mixed", ["text"], [9], [9]),
            columns_of("mixed", [None], [8], [8]),
            columns_of("mixed", [True], [3], [3]),
            columns_of("text", ["text"]),
            messages.SeriesColumns(metric="table", times=[1], table=table),
            messages.SeriesColumns(metric="picture", times=[1], artifacts=artifacts),
            nothing,
        ],
    )

    assert await latest_values(backend.channel, [run]) == [(run, "mixed", 4, 1, "2.0")]


async def test_values_come_by_run_and_metric_for_runs_that_exist_and_metrics_that_are_asked_for(
    backend: Backend,
) -> None:
    runs = [await make_run(backend.channel, name) for name in ("b", "a")]
    metrics = [f"m{n:03}" for n in range(700)]
    for run in runs:
        await write(backend, run, [columns_of(metric, [1.0]) for metric in reversed(metrics)])
    unknown = "workspaces/space/runs/none"

    rows = await latest_values(backend.channel, [*runs, unknown, runs[0]])
    assert [row[:2] for row in rows] == [(run, metric) for run in sorted(runs) for metric in metrics]
    chosen = await latest_values(backend.channel, [runs[1]], ["m500", "m003", "none"])
    assert [row[:2] for row in chosen] == [(runs[1], "m003"), (runs[1], "m500")]
    assert await latest_values(backend.channel, [unknown]) == []


async def test_runs_of_the_same_name_in_another_workspace_are_not_read(backend: Backend, run: str) -> None:
    await write(backend, run, [columns_of("m", [1.0])])
    other = await make_workspace(backend.channel, "other")

    assert await latest_values(backend.channel, [f"{other}/runs/run"]) == []


@pytest.mark.parametrize("seed", range(3))
async def test_after_each_acknowledgement_every_server_says_what_a_model_says(
    backend: Backend, replica: Backend, postgres: Postgres, run: str, seed: int
) -> None:
    random, model = Random(seed), LatestModel()
    metrics = ["a", "b", "c"]
    for turn in range(25):
        batches = [random_batch(random, metrics) for _ in range(random.randint(1, 3))]
        await write(backend, run, *batches)
        for batch in batches:
            model.store(run, batch)
        if random.random() < 0.3:
            await Compaction(CompactionStore(postgres), Fragments(), Pace(1.0)).merge(RunName.parse(run), metrics)

        assert await latest_values(random.choice([backend, replica]).channel, [run]) == model.latest()
        if turn == 15:
            await seal(backend, postgres, run)
            await forget(postgres)
    await until_sealed(postgres)
    assert await latest_values(backend.channel, [run]) == model.latest()
    await forget(postgres)
    assert await latest_values(backend.channel, [run]) == model.latest()


def long_batches(metrics: Sequence[str]) -> list[list[messages.SeriesColumns]]:
    """Series of 40,000 values each, in chunks of 8,000, with steps and times of many shapes."""
    indexes, random = np.arange(LONG), np.random.default_rng(5)
    steps = {
        "ascending": indexes,
        "descending": indexes[::-1],
        "constant": np.zeros(LONG, np.int64),
        "restarted": indexes % 15_000,
        "anywhere": random.integers(-(2**62), 2**62, LONG),
    }
    times = {"constant": 1 + indexes // 300 % 70, "anywhere": np.ones(LONG, np.int64)}
    values = random.random(LONG)
    cuts = [slice(begin, begin + 8_000) for begin in range(0, LONG, 8_000)]
    shapes = [(metric, steps[metric], times.get(metric, indexes + 1)) for metric in metrics]
    return [
        [columns_of(metric, values[cut].tolist(), of[cut].tolist(), at[cut].tolist()) for metric, of, at in shapes]
        for cut in cuts
    ]


async def test_long_series_are_answered_the_same_unsealed_sealed_and_after_late_values(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    model = LatestModel()
    batches = long_batches(["ascending", "descending", "constant", "restarted", "anywhere"])
    text = [columns_of("ascending", ["text"] * 3_000, range(LONG, LONG + 3_000))]
    await write(backend, run, *batches, text)
    for batch in (*batches, text):
        model.store(run, batch)
    assert await latest_values(backend.channel, [run]) == model.latest()

    await forget(postgres)
    await seal(backend, postgres, run)
    assert await latest_values(backend.channel, [run]) == model.latest()
    await forget(postgres)
    assert await latest_values(backend.channel, [run]) == model.latest()

    late = [columns_of("ascending", [1.0, 2.0], [LONG - 2, LONG - 1]), columns_of("constant", [9.0], [1], [1])]
    await write(backend, run, late, writer="late")
    model.store(run, late)
    assert await latest_values(backend.channel, [run]) == model.latest()
    await until_sealed(postgres)
    assert await latest_values(backend.channel, [run]) == model.latest()


async def test_chunks_that_cannot_have_a_later_number_are_not_decoded(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    model = LatestModel()
    for batch in (batches := long_batches(["ascending", "descending"])):
        model.store(run, batch)
    await write(backend, run, *batches)
    await postgres.execute("UPDATE metrics.chunk SET columns = 'damaged' WHERE start_index BETWEEN 8000 AND 24000")

    assert await latest_values(backend.channel, [run]) == model.latest()


async def test_what_is_known_of_a_sealed_run_needs_no_bucket(
    backend: Backend, postgres: Postgres, bucket: Bucket, run: str
) -> None:
    await write(backend, run, [columns_of("m", [1.0, 2.0], [8, 7])])
    await seal(backend, postgres, run)
    for key in [each.key async for each in bucket.list("metrics/")]:
        await bucket.discard(key)

    assert await latest_of(backend, run) == (8, 1, "1.0")


async def test_values_stored_before_there_were_overviews_are_read(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    model = LatestModel()
    for batch in (batches := long_batches(["anywhere", "descending"])):
        model.store(run, batch)
    await write(backend, run, *batches)
    await postgres.execute("UPDATE metrics.chunk SET overview = NULL, checksum = NULL")

    assert await latest_values(backend.channel, [run]) == model.latest()


@pytest.mark.parametrize(
    ("runs", "metrics", "field"),
    [
        ([], [], "runs"),
        (["workspaces/space/runs/a", "workspaces/other/runs/a"], [], "runs"),
        ([f"workspaces/space/runs/{n}" for n in range(1_001)], [], "runs"),
        (["runs/a"], [], "runs[0]"),
        (["workspaces/space/runs/a"], ["a\0"], "metrics"),
        (["workspaces/space/runs/a"], ["m"] * 10_001, "metrics"),
    ],
)
async def test_a_request_beyond_the_limits_is_refused(
    backend: Backend, runs: list[str], metrics: list[str], field: str
) -> None:
    request = messages.ReadLatestValuesRequest(runs=runs, metrics=metrics)
    failure = await failure_of_stream(stubs.metrics(backend.channel).ReadLatestValues(request))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert field in str(failure.metadata)
