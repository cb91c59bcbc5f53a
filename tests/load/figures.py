"""Figures: what was measured, beside its limit and its goal."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

LEAST_SAMPLES = 3


@dataclass(frozen=True)
class Figure:
    """One figure of a run of the benchmarks."""

    name: str
    """`service.what`, for example `runs.batch_create`."""

    value: float
    """The median of the samples."""

    unit: str
    limit_name: str
    """What bounds the value: the cheapest thing that any solution has to do, measured in the same run."""

    limit: float
    """The median of the limit, in `unit`."""

    ratio: float
    """The value as a part of the limit; of a cost, the limit as a part of the value. 1 is perfect."""

    goal: float | None
    """What the value should reach; of a cost, what it should not exceed. None: only watched."""

    met: bool | None
    spread: tuple[float, float]
    """The least and the greatest sample."""

    samples: int


def rate(
    name: str, unit: str, values: Sequence[float], limit: tuple[str, Sequence[float]], goal: float | None
) -> Figure:
    """A figure that should be high."""
    value, bound = statistics.median(values), statistics.median(limit[1])
    return _figure(name, unit, values, limit, goal, ratio=value / bound, met=None if goal is None else value >= goal)


def cost(
    name: str, unit: str, values: Sequence[float], limit: tuple[str, Sequence[float]], goal: float | None
) -> Figure:
    """A figure that should be low."""
    value, bound = statistics.median(values), statistics.median(limit[1])
    return _figure(name, unit, values, limit, goal, ratio=bound / value, met=None if goal is None else value <= goal)


def _figure(
    name: str,
    unit: str,
    values: Sequence[float],
    limit: tuple[str, Sequence[float]],
    goal: float | None,
    *,
    ratio: float,
    met: bool | None,
) -> Figure:
    if len(values) < LEAST_SAMPLES:
        raise ValueError(f"{name}: {len(values)} samples, and a median takes {LEAST_SAMPLES}")
    return Figure(
        name=name,
        value=_rounded(statistics.median(values)),
        unit=unit,
        limit_name=limit[0],
        limit=_rounded(statistics.median(limit[1])),
        ratio=round(ratio, 3),
        goal=goal,
        met=met,
        spread=(_rounded(min(values)), _rounded(max(values))),
        samples=len(values),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def write(figures: Sequence[Figure], path: Path) -> None:
    """Writes one JSON object per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(figure)) + "\n" for figure in figures), encoding="utf-8")


def show(figures: Sequence[Figure]) -> None:
    """Prints the figures as a table for people."""
    table = Table(title="Runstream benchmarks")
    for heading in ("figure", "measured", "spread", "limit in the same run", "ratio", "goal", ""):
        table.add_column(heading, justify="left" if heading in ("figure", "limit in the same run") else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.value:,g} {figure.unit}",
            f"{figure.spread[0]:,g} to {figure.spread[1]:,g}",
            f"{figure.limit:,g}: {figure.limit_name}",
            f"{figure.ratio:.2f}",
            "" if figure.goal is None else f"{figure.goal:,g}",
            {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met],
        )
    Console(width=180).print(table)
