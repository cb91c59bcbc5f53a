"""Runs benchmarks: `python -m tests.load [--only PREFIX]`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from tests.load import artifacts, jobs, logs_read, logs_write, metrics_ingest, metrics_read, mlflow, runs, spool, up
from tests.load.figures import Figure, show, write

Benchmark = Callable[[], AsyncIterator[Figure]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "runs.create": runs.create,
    "runs.batch_create": runs.batch_create,
    "runs.get": runs.get,
    "runs.list": runs.list_by_metric,
    "runs.watch": runs.watch,
    "metrics.ingest.bulk": metrics_ingest.bulk,
    "metrics.ingest.small": metrics_ingest.small,
    "metrics.ingest.one": metrics_ingest.small_one,
    "metrics.ingest.filled": metrics_ingest.filled,
    "metrics.ingest.idle": metrics_ingest.idle,
    "metrics.ingest.bytes": metrics_ingest.points_size,
    "metrics.read.series": metrics_read.series,
    "metrics.read.compare": metrics_read.compare,
    "metrics.read.compare_sealed": metrics_read.compare_sealed,
    "metrics.read.latest": metrics_read.latest,
    "metrics.read.latest_first": metrics_read.latest_first,
    "metrics.read.tail": metrics_read.tail,
    "logs.ingest": logs_write.ingest,
    "logs.tail": logs_write.tail,
    "logs.last": logs_read.last,
    "logs.search": logs_read.search,
    "spool.log": spool.log,
    "spool.log_down": spool.log_down,
    "spool.log_slow": spool.log_slow,
    "spool.arrive": spool.arrive,
    "spool.carry": spool.carry,
    "artifacts.file": artifacts.file,
    "artifacts.small": artifacts.small,
    "artifacts.again": artifacts.again,
    "jobs.submit": jobs.submit,
    "jobs.cancel": jobs.cancel,
    "jobs.children": jobs.children,
    "mlflow.log_metric": mlflow.log_metric,
    "up.ready": up.ready,
    "up.memory": up.memory,
}
RESULTS = Path("build/bench.jsonl")


async def run(prefix: str) -> list[Figure]:
    """Runs the benchmarks whose name starts with `prefix`, one after the other."""
    figures: list[Figure] = []
    for name, benchmark in BENCHMARKS.items():
        if name.startswith(prefix):
            print(f"{name} ...", file=sys.stderr, flush=True)
            figures.extend([figure async for figure in benchmark()])
            write(figures, RESULTS)
    return figures


def main() -> None:
    """Runs benchmarks and shows their figures."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure against the goals.")
    parser.add_argument("--only", default="", metavar="PREFIX", help="those whose name starts so")
    figures = asyncio.run(run(parser.parse_args().only))
    if not figures:
        sys.exit(f"no benchmark starts so; there are {', '.join(BENCHMARKS)}")
    show(figures)
    print(f"written to {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    main()
