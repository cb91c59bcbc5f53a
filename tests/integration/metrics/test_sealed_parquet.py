"""What others read in the Parquet object of a sealed run."""

import math
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from pyarrow import parquet

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.conftest import Backend


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of a server that seals at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


def column(metric: str, **values: object) -> messages.SeriesColumns:
    return messages.SeriesColumns(metric=metric, times=[1_700_000_000_000_000, 1_700_000_000_000_001], **values)  # type: ignore[arg-type]


TABLE = messages.TableValues(
    row_count=2,
    columns=[
        messages.TableColumn(name="class", strings=messages.StringValues(values=["cat", "dog"])),
        messages.TableColumn(name="precision", doubles=messages.DoubleValues(values=[0.5, math.nan])),
    ],
)
IMAGES = messages.ArtifactValues(kind=messages.ARTIFACT_KIND_IMAGE, paths=["images/1.png", "images/2.png"])


@pytest.fixture
async def path(backend: Backend, postgres: Postgres, bucket: Bucket, run: str, tmp_path: Path) -> Path:
    """The object of a run with a few series of each kind, and many others."""
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(
            1,
            *(doubles(f"metric {n:04}", [float(n)] * 100) for n in range(340)),
            column("loss", doubles=messages.DoubleValues(values=[0.5, math.inf]), steps=[10, -20]),
            column("rows", table=TABLE),
            column("shots", artifacts=IMAGES),
            column("text", strings=messages.StringValues(values=["a", "b"])),
            column("text", nulls=messages.NullValues(count=2)),
        )
        for sequence in range(2, 6):
            await stream.send(sequence, *(doubles(name, [float(n) for n in range(20_000)]) for name in ("big", "wide")))
        await stream.acknowledged(5)
        await stream.finish()
        await stream.half_close()
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))
    while not await postgres.fetchval("SELECT EXISTS (SELECT FROM metrics.sealed_object WHERE state = 'current')"):
        pass
    (key,) = [each.key async for each in bucket.list("metrics/")]
    copy = tmp_path / "run.parquet"
    copy.write_bytes(await bucket.get(key))
    return copy


def asked(path: Path, query: str) -> list[tuple[object, ...]]:
    relation = duckdb.sql(query.replace("RUN", f"'{path}'"))
    return relation.fetchall() if relation else []


async def test_duckdb_reads_every_kind_and_all_of_a_long_series(path: Path) -> None:
    assert asked(path, "SELECT index, step, epoch_us(time), double_value FROM RUN WHERE metric = 'loss'") == [
        (0, 10, 1_700_000_000_000_000, 0.5),
        (1, -20, 1_700_000_000_000_001, math.inf),
    ]
    assert asked(path, "SELECT kind, string_value FROM RUN WHERE metric = 'text' ORDER BY index") == [
        ("string", "a"),
        ("string", "b"),
        ("null", None),
        ("null", None),
    ]
    assert asked(path, "SELECT kind, artifact FROM RUN WHERE metric = 'shots'") == [
        ("image", "images/1.png"),
        ("image", "images/2.png"),
    ]
    rows = "SELECT cell.column, cell.string_value, cell.double_value FROM (SELECT unnest(cells) AS cell FROM RUN)"
    (cat, half, dog, nan) = asked(path, rows)
    assert [cat, half, dog] == [("class", "cat", None), ("precision", None, 0.5), ("class", "dog", None)]
    assert math.isnan(float(str(nan[2])))
    query = "SELECT count(*), sum(double_value), max(index) FROM RUN WHERE metric = 'wide'"

    assert asked(path, query) == [(80_000, 4.0 * sum(range(20_000)), 79_999)]


async def test_rows_are_sorted_and_a_query_by_name_needs_one_row_group(path: Path) -> None:
    metadata = parquet.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    needed = {
        metric: [group.num_rows for group in groups if _may_hold(group, metric)]
        for metric in ("big", "wide", "loss", "metric 0200")
    }

    assert needed["big"] == needed["wide"] == [80_000]
    assert len(needed["loss"]) == len(needed["metric 0200"]) == 1
    assert len(groups) >= 4
    places = asked(path, "SELECT metric, index FROM RUN")

    assert places == sorted(places, key=lambda place: (str(place[0]), int(str(place[1]))))
    assert len(set(places)) == len(places)


def _may_hold(group: parquet.RowGroupMetaData, metric: str) -> bool:
    statistics = group.column(0).statistics
    return bool(statistics.min <= metric <= statistics.max)
