"""Finds runs."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, cast

from runstream.core import _filters as filters
from runstream.core._filters import Labels, all_of
from runstream.core._forms import E, R, W, form_of
from runstream.core._listing import Listing
from runstream.core._run.listing import list_runs
from runstream.core._run.waiting import WaitCalls
from runstream.core._surface import dual_class


class QueryCalls(WaitCalls[W, E, R], Generic[W, E, R]):
    """Gets and lists runs without having one."""

    @dual_class
    async def get(cls, workspace: W, run_id: str) -> R:
        """Returns a run by its id, as an object of the class for its type; no experiment is needed.

            run = Run.get(ws, "0b7c2c1e-...")

        Raises:
            ServiceException: No run of the workspace has this id; `status_code` is 404.
        """
        return cast(R, await cls._get(workspace, run_id))

    @classmethod
    def list(
        cls,
        experiment: E,
        type: str | None = None,  # noqa: A002
        tags: Labels = None,
        properties: Labels = None,
        status: str | None = None,
        include_children: bool = False,
        _rehydrate_runs: bool = True,
        *,
        start_after: datetime | str | None = None,
        start_before: datetime | str | None = None,
        limit: int | None = None,
    ) -> Listing[R]:
        """Lists runs of an experiment lazily, newest first; see `Experiment.get_runs` for the parameters."""
        query = all_of(
            filters.equals("experiment", experiment._record.name),
            "" if include_children else "NOT parent:*",
            filters.labelled("tags", tags),
            filters.labelled("properties", properties),
            filters.of_type(type),
            filters.equals("status", status),
            filters.started(start_after, start_before),
        )
        title = f"Runs of experiment {experiment.name}"
        return list_runs(experiment.workspace, title, query, typed=_rehydrate_runs, limit=limit)

    @classmethod
    def list_by_compute(
        cls,
        compute: Any,
        type: str | None = None,  # noqa: A002
        tags: Labels = None,
        properties: Labels = None,
        status: str | None = None,
    ) -> Listing[R]:
        """Lists the runs of a compute target lazily, newest first, those with a parent too."""
        query = all_of(
            filters.equals("target", compute.name),
            filters.labelled("tags", tags),
            filters.labelled("properties", properties),
            filters.of_type(type),
            filters.equals("status", status),
        )
        return list_runs(compute.workspace, f"Runs on {compute.name}", query)

    @classmethod
    def add_type_provider(cls, runtype: str, run_factory: Callable[..., Any]) -> None:
        """Says which objects stand for runs of a type.

        `run_factory` is a subclass of `Run`, or a function that gets the experiment and a plain `Run` and returns the
        object to use.
        """
        form_of(cls).run_types[runtype] = run_factory
