"""The runs below and above a run."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Generic, cast

from runstream.core import _filters as filters
from runstream.core._filters import Labels, all_of
from runstream.core._forms import E, R, W, form_of
from runstream.core._listing import Listing
from runstream.core._outputs import track_outputs
from runstream.core._run.creation import NewRun, create_run, create_runs
from runstream.core._run.listing import list_runs
from runstream.core._run.record import run_id
from runstream.core._run.series import SeriesCalls
from runstream.core._surface import dual
from runstream.exceptions import UserErrorException

MAX_CHILDREN = 100
CHILD_NUMBER = "azureml.batch_child_number"


class ChildCalls(SeriesCalls[W, E, R], Generic[W, E, R]):
    """Makes and lists child runs. How a run ends has no effect on the runs below or above it."""

    @dual
    async def child_run(
        self,
        name: str | None = None,
        run_id: str | None = None,
        outputs: str | os.PathLike[str] | bool | None = None,
    ) -> R:
        """Makes a child run, which is `Running` at once, in the experiment of this run.

            for rate in [0.01, 0.1]:
                with run.child_run(f"rate {rate}") as child:
                    child.log("accuracy", train(rate))

        A child tracks no outputs folder unless `outputs` says so: True for `./outputs`, or the name of a folder.
        """
        own_name = self._record.label or f"run_{self.id}"
        new = NewRun(run_id=run_id, label=f"{own_name}>{name}" if name else "", parent=self._record.name)
        child = self._child(await create_run(self._workspace, new))
        child._outputs = track_outputs(outputs, default=False)
        return cast(R, child)

    @dual
    async def create_children(
        self,
        count: int | None = None,
        tag_key: str | None = None,
        tag_values: Sequence[object] | None = None,
    ) -> list[R]:
        """Makes up to 100 child runs in one step, all of them or none, and returns them in order.

            children = run.create_children(count=3)                     # tagged "0", "1", "2"
            children = run.create_children(tag_key="rate", tag_values=["0.01", "0.1"])

        With `count` each child has its number as tag `azureml.batch_child_number`. All are `Running`.

        Raises:
            UserErrorException: Neither `count` nor both `tag_key` and `tag_values` are given, or too many children.
        """
        tags = child_tags(count, tag_key, tag_values)
        if not tags:
            return []
        new = [NewRun(parent=self._record.name, tags=each) for each in tags]
        return [cast(R, self._child(record)) for record in await create_runs(self._workspace, new)]

    def get_children(
        self,
        recursive: bool = False,
        tags: Labels = None,
        properties: Labels = None,
        type: str | None = None,  # noqa: A002
        status: str | None = None,
        _rehydrate_runs: bool = True,
    ) -> Listing[R]:
        """Lists the children of the run lazily, newest first; with `recursive` all runs below it.

            for child in run.get_children(tags={"rate": "0.1"}):
                print(child.id, child.get_metrics())

        The filters are those of `Experiment.get_runs`.
        """
        query = all_of(
            filters.equals("ancestor" if recursive else "parent", self.id),
            filters.labelled("tags", tags),
            filters.labelled("properties", properties),
            filters.of_type(type),
            filters.equals("status", status),
        )
        return list_runs(self._workspace, f"Children of run {self.id}", query, typed=_rehydrate_runs)

    async def _find_parent(self) -> R | None:
        record = await self._refresh() if self._is_partial else self._record
        if not record.parent:
            return None
        return cast(R, await form_of(type(self)).run._get(self._workspace, run_id(record.parent)))

    def _child(self, record: Any) -> Any:
        child = form_of(type(self)).run._of(self._workspace, record, self._experiment)
        child._take_started(record)
        return child


def child_tags(count: int | None, key: str | None, values: Sequence[object] | None) -> list[Mapping[str, object]]:
    if (count is None) == (key is None and values is None) or (key is None) != (values is None):
        raise UserErrorException("create_children needs either count, or both tag_key and tag_values.")
    if key is not None and values is not None:
        tags: list[Mapping[str, object]] = [{key: value} for value in values]
    else:
        tags = [{CHILD_NUMBER: str(number)} for number in range(count or 0)]
    if len(tags) > MAX_CHILDREN or (count is not None and count < 0):
        raise UserErrorException(f"create_children makes 0 to {MAX_CHILDREN} children, not {count or len(tags)}.")
    return tags
