"""What `submit` and `submit_child` have in common, in both forms."""

from typing import TYPE_CHECKING, Any

from runstream.core._forms import form_of
from runstream.core._labels import to_tags
from runstream.core._submission.methods import Submission, submit

if TYPE_CHECKING:
    from runstream._transfer.progress import Meter
    from runstream.core._experiment import ExperimentCalls
    from runstream.core._run import RunCalls


async def submit_in(
    experiment: "ExperimentCalls[Any, Any, Any]",
    config: object,
    tags: object = None,
    *,
    run_id: str | None = None,
    parent_id: str | None = None,
    meter: "Meter | None" = None,
) -> Any:
    """Submits a run of an experiment; the run, as the class for its type."""
    workspace = experiment.workspace
    submission = Submission(
        workspace=workspace,
        experiment=experiment._record.name,
        experiment_name=experiment.name,
        tags=to_tags(tags or {}),
        run_id=run_id,
        parent=workspace._run_name(parent_id) if parent_id else "",
        meter=meter,
    )
    return form_of(type(workspace)).run._typed(workspace, await submit(config, submission), experiment)


async def submit_below(
    parent: "RunCalls[Any, Any, Any]", config: object, tags: object = None, *, run_id: str | None = None
) -> Any:
    """Submits a child of a run, in its experiment; the child, as the class for its type."""
    workspace, record = parent._workspace, parent._record
    submission = Submission(
        workspace=workspace,
        experiment=record.experiment,
        experiment_name=record.experiment_display_name,
        tags=to_tags(tags or {}),
        run_id=run_id,
        parent=record.name,
    )
    return form_of(type(workspace)).run._typed(workspace, await submit(config, submission))
