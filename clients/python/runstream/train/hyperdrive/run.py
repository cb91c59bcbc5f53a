"""Sweeps that were submitted."""

import json
from collections.abc import Sequence
from typing import Any

from runstream._channel import loop
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import BLOCKING
from runstream.core._status import CANCELED, FAILED, status_name
from runstream.core._submission import register_submit_method
from runstream.core.run import Run
from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive._children import best_value, child_records
from runstream.train.hyperdrive._submit import SWEEP_RUN, submit_sweep
from runstream.train.hyperdrive._sweep import HYPERPARAMETERS_TAG, METRIC_PROPERTY
from runstream.train.hyperdrive.runconfig import HyperDriveConfig, PrimaryMetricGoal

__all__ = ["HyperDriveRun", "PrimaryMetricGoal"]


class HyperDriveRun(Run):
    """A sweep: its children are the runs that try hyperparameters, and its own program is what submits them.

    sweep = experiment.submit(config)
    sweep.wait_for_completion(show_output=True)
    best = sweep.get_best_run_by_primary_metric()
    print(best.id, best.tags["hyperparameters"], best.get_metrics())
    """

    def get_best_run_by_primary_metric(
        self, include_failed: bool = True, include_canceled: bool = True, include_resume_from_runs: bool = True
    ) -> Run | None:
        """The child with the best value of the primary metric; None: none has logged it.

        Runs that the policy stopped are cancelled ones.
        """
        left_out = ({FAILED} if not include_failed else set()) | ({CANCELED} if not include_canceled else set())
        best = [each for each in self._sorted() if each["status"] not in left_out]
        return Run.get(self.experiment.workspace, best[0]["run_id"]) if best else None

    def get_children_sorted_by_primary_metric(
        self, top: int = 0, reverse: bool = False, discard_no_metric: bool = False
    ) -> list[dict[str, Any]]:
        """What the children have reached, the best first; those that have not logged the primary metric come last.

        Each has `run_id`, `hyperparameters` (a JSON object), `best_primary_metric` (None: not logged) and `status`.
        With `reverse` the worst is first. `top` is how many at most, 0: all.

        Raises:
            UserErrorException: `top` is below 0.
        """
        if top < 0:
            raise UserErrorException(f"top has to be 0 or more; got {top}.")
        found = self._sorted(reverse=reverse)
        if not discard_no_metric:
            known = {each["run_id"] for each in found}
            found += [each for each in self._results() if each["run_id"] not in known]
        return found[:top] if top else found

    def get_hyperparameters(self) -> dict[str, dict[str, Any]]:
        """The hyperparameters of each child, by its id."""
        return {each["run_id"]: json.loads(each["hyperparameters"]) for each in self._results()}

    def get_metrics(
        self, name: str | None = None, recursive: bool = True, run_type: str | None = None, populate: bool = False
    ) -> dict[str, Any]:
        """The metrics of each child by its id; see `Run.get_metrics`."""
        return super().get_metrics(name=name, recursive=recursive, run_type=run_type, populate=populate)

    def cancel(self, *, recursive: bool = True) -> None:
        """Cancels the sweep and its runs, in one step."""
        super().cancel(recursive=recursive)

    def _sorted(self, *, reverse: bool = False) -> list[dict[str, Any]]:
        known = [each for each in self._results() if each["best_primary_metric"] is not None]
        maximizes = self._goal is PrimaryMetricGoal.MAXIMIZE
        return sorted(known, key=lambda each: each["best_primary_metric"], reverse=maximizes != reverse)

    @property
    def _goal(self) -> PrimaryMetricGoal:
        return PrimaryMetricGoal.from_str(self._metric["goal"])

    @property
    def _metric(self) -> dict[str, str]:
        metric: dict[str, str] = json.loads(self.properties[METRIC_PROPERTY])
        return metric

    def _results(self) -> Sequence[dict[str, Any]]:
        return [self._result(record) for record in loop.run(child_records(self._workspace, self.id))]

    def _result(self, record: run_pb2.Run) -> dict[str, Any]:
        tags = {tag.key: tag.value for tag in record.tags}
        return {
            "run_id": record.name.rpartition("/")[2],
            "hyperparameters": tags.get(HYPERPARAMETERS_TAG, "{}"),
            "best_primary_metric": best_value(record, self._metric["name"], self._goal),
            "status": status_name(record.status),
        }


BLOCKING.run_types[SWEEP_RUN] = HyperDriveRun
register_submit_method(HyperDriveConfig, submit_sweep)
