"""What an experiment does, in both forms."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, cast

from runstream._channel import Connection, loop
from runstream._channel.pages import pages
from runstream._channel.threads import in_thread
from runstream.api.runs.v1 import experiment_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment as ExperimentRecord
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream.core import _filters as filters
from runstream.core import _links
from runstream.core._filters import Labels
from runstream.core._forms import E, R, W, form_of
from runstream.core._git import git_properties
from runstream.core._labels import from_tags, to_keys, to_tags
from runstream.core._listing import Listing
from runstream.core._outputs import track_outputs
from runstream.core._run.creation import NewRun, create_run
from runstream.core._source import keep_snapshot, store_snapshot, survey_folder
from runstream.core._surface import Blocking, dual, dual_class
from runstream.exceptions import UserErrorException

if TYPE_CHECKING:
    from runstream.core._workspace import WorkspaceCalls

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_\-]{0,254}")
PAGE_SIZE = 1000
VIEWS = {
    "ActiveOnly": experiment_pb2.EXPERIMENT_VIEW_ACTIVE_ONLY,
    "ArchivedOnly": experiment_pb2.EXPERIMENT_VIEW_ARCHIVED_ONLY,
    "All": experiment_pb2.EXPERIMENT_VIEW_ALL,
}

Experiments = list[E]


class ExperimentCalls(Generic[W, E, R]):
    """An experiment is a named folder of runs."""

    _workspace: W
    _record: ExperimentRecord
    _is_partial = False

    @classmethod
    def _of(cls, workspace: W, record: ExperimentRecord, *, is_partial: bool = False) -> Any:
        experiment = cls.__new__(cls)
        experiment._attach(workspace, record)
        experiment._is_partial = is_partial
        return experiment

    def _attach(self, workspace: W, record: ExperimentRecord) -> None:
        self._workspace, self._record = workspace, record

    @property
    def id(self) -> str:
        """The id of the experiment, made by the service; the name may be taken again once it is archived."""
        return self._record.name.rpartition("/experiments/")[2]

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self._record.display_name

    @property
    def workspace(self) -> W:
        """The workspace that owns the experiment."""
        return self._workspace

    @property
    def workspace_object(self) -> W:
        """As `workspace`, which is its newer name."""
        return self._workspace

    @property
    def archived_time(self) -> datetime | None:
        """When the experiment was archived, in UTC; None while it is active. As it was when it was last read."""
        record = self._read()
        return record.archive_time.ToDatetime(tzinfo=UTC) if record.HasField("archive_time") else None

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags as they were when the experiment was last read; `refresh()` reads them again."""
        return from_tags(self._read().tags)

    @property
    def portal_url(self) -> str:
        """The address of the experiment's page in the studio."""
        return self.get_portal_url()

    def get_portal_url(self) -> str:
        """The address of the experiment's page in the studio, which the gateway of the services serves."""
        return self._workspace._page("experiments", self.name)

    @dual
    async def start_logging(
        self,
        /,
        *args: object,
        name: str | None = None,
        run_id: str | None = None,
        outputs: str | os.PathLike[str] | bool | None = None,
        snapshot_directory: str | os.PathLike[str] | None = ".",
        display_name: str | None = None,
        capture_output: bool = False,
        **kwargs: object,
    ) -> R:
        """Starts an interactive run, which is `Running` until `complete()` or `fail()` is called on it.

            run = experiment.start_logging()
            run.log("loss", 0.31)
            run.complete()

            with experiment.start_logging(display_name="baseline") as run:     # completes or fails by itself
                run.log("loss", 0.31)

        Files in `./outputs`, or in the folder that `outputs` names, are uploaded when the run ends; `outputs=False`
        tracks no folder. The git repository, branch and commit of `snapshot_directory` are recorded as properties of
        the run, and a snapshot of that folder is stored: what is not known already of its files, but for those that its
        `.amlignore` lists, or its `.gitignore` where there is none. `snapshot_directory=None` takes no snapshot. With
        `capture_output` everything that is printed is recorded, see `Run.capture_output`. Other positional arguments
        are ignored.

        Raises:
            UserErrorException: `run_id` is taken or not allowed.
            SnapshotException: The folder is too large, or has something that cannot be stored. There is no run then.
        """
        tracked = track_outputs(outputs, default=True)
        properties = await in_thread(git_properties, snapshot_directory or ".")
        snapshot = await survey_folder(self._workspace, snapshot_directory)
        properties.update(await store_snapshot(self._workspace, snapshot))
        new = NewRun(
            run_id=run_id,
            label=name or "",
            display_name=display_name or "",
            experiment=self._record.name,
            properties=properties,
        )
        record = await create_run(self._workspace, new)
        keep_snapshot(self._workspace, record.name, snapshot)
        run = form_of(type(self)).run._of(self._workspace, record, self)
        run._outputs = tracked
        run._take_started(record)
        if capture_output:
            await in_thread(run.capture_output)
        return cast(R, run)

    def get_runs(
        self,
        type: str | None = None,  # noqa: A002
        tags: Labels = None,
        properties: Labels = None,
        include_children: bool = False,
        *,
        status: str | None = None,
        start_after: datetime | str | None = None,
        start_before: datetime | str | None = None,
        limit: int | None = None,
    ) -> Listing[R]:
        """Lists the runs of the experiment lazily, newest first; top-level runs only unless `include_children`.

            latest = next(experiment.get_runs())
            good = list(experiment.get_runs(tags={"quality": "fantastic run"}, status="Completed"))
            marked = experiment.get_runs(tags="worth another look")

        A text for `tags` or `properties` is a key that must exist, with any value or none; a dictionary has keys with
        the values they must have, None for a tag without a value. `type` is the type of the run or its property
        `azureml.runsource`. All filters must hold. Hidden runs are left out. Times without a zone are UTC.

        Raises:
            ValueError: `tags` or `properties` is neither a text nor a dictionary.
        """
        runs: Listing[R] = form_of(self.__class__).run.list(
            self,
            type,
            tags,
            properties,
            status,
            include_children,
            start_after=start_after,
            start_before=start_before,
            limit=limit,
        )
        return runs

    @dual
    async def tag(self, key: str, value: object = None) -> None:
        """Sets one tag; without a value it is a mark."""
        await self._modify_tags(to_tags({key: value}))

    @dual
    async def set_tags(self, tags: Mapping[str, object]) -> None:
        """Sets tags, all of them or none; other tags of the experiment stay."""
        await self._modify_tags(to_tags(tags))

    @dual
    async def remove_tags(self, tags: Iterable[str]) -> None:
        """Removes tags by their keys; keys that the experiment does not have are ignored."""
        await self._modify_tags([], to_keys(tags))

    @dual
    async def refresh(self) -> None:
        """Reads the experiment again."""
        await self._refresh()

    @dual
    async def archive(self) -> None:
        """Hides the experiment from listings and frees its name for another one. Its runs stay readable."""
        connection = self._connection()
        request = api.ArchiveExperimentRequest(name=self._record.name)
        self._take((await connection.call(connection.runs.ArchiveExperiment, request)).experiment)

    @dual
    async def reactivate(self, new_name: str | None = None) -> None:
        """Makes an archived experiment active again.

        Raises:
            UserErrorException: Another active experiment has its name, or a `new_name` is given: it keeps its own.
        """
        if new_name is not None:
            raise UserErrorException("An experiment is reactivated under its own name: leave out new_name.")
        connection = self._connection()
        request = api.ReactivateExperimentRequest(name=self._record.name)
        self._take((await connection.call(connection.runs.ReactivateExperiment, request)).experiment)

    @dual_class
    async def get_or_create(cls: type[Any], workspace: W, name: str) -> E:
        """Returns the active experiment of this name, and makes it if there is none; any number of callers may do so.

        Raises:
            UserErrorException: The name is not a letter or digit, then up to 254 letters, digits, `-` and `_`.
        """
        return cast(E, form_of(cls).experiment._of(workspace, await open_experiment(workspace, name)))

    @dual_class
    async def list(
        cls: type[Any],
        workspace: W,
        experiment_name: str | None = None,
        view_type: str = "ActiveOnly",
        tags: Labels = None,
    ) -> "Experiments[E]":
        """Lists experiments, newest first, as a real list.

            Experiment.list(ws)
            Experiment.list(ws, view_type="ArchivedOnly", tags={"team": "vision"})

        `view_type` is `ActiveOnly`, `ArchivedOnly` or `All`; `tags` filters as in `get_runs`.
        """
        if view_type not in VIEWS:
            raise UserErrorException(f"view_type must be one of {', '.join(VIEWS)}, not {view_type!r}.")
        query = filters.all_of(filters.equals("display_name", experiment_name), filters.labelled("tags", tags))
        records = await list_experiments(workspace, VIEWS[view_type], query)
        make = form_of(cls).experiment._of
        return [make(workspace, record) for record in records]

    @dual_class
    async def delete(cls, workspace: W, experiment_id: str) -> None:
        """Deletes an experiment by its id for good; it must hold no run.

        Raises:
            UserErrorException: It holds runs.
        """
        connection = workspace._connection()
        request = api.DeleteExperimentRequest(name=f"{workspace._record.name}/experiments/{experiment_id}")
        await connection.call(connection.runs.DeleteExperiment, request, retry=False)

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name},\nWorkspace: {self._workspace.name})"

    def _repr_html_(self) -> str:
        docs = _links.page(self._workspace._address, "docs", "experiment")
        links = {
            "Report Page": (self.get_portal_url(), "Link to Runstream"),
            "Docs Page": (docs, "Link to Documentation"),
        }
        return _links.table({"Name": self.name, "Workspace": self._workspace.name}, links)

    def _connection(self) -> Connection:
        return self._workspace._connection()

    def _read(self) -> ExperimentRecord:
        """The record. Of an experiment that only a run told of, it is completed first, if the form may block for it."""
        if self._is_partial and isinstance(self, Blocking):
            loop.run(self._refresh())
        return self._record

    async def _refresh(self) -> None:
        connection = self._connection()
        request = api.GetExperimentRequest(name=self._record.name)
        self._take((await connection.call(connection.runs.GetExperiment, request)).experiment)

    def _take(self, record: ExperimentRecord) -> None:
        self._record, self._is_partial = record, False

    async def _modify_tags(self, changed: Sequence[Tag], removed: Sequence[str] = ()) -> None:
        if not changed and not removed:
            return
        connection = self._connection()
        request = api.ModifyTagsRequest(name=self._record.name, set=changed, remove=removed)
        response = await connection.call(connection.runs.ModifyTags, request)
        del self._record.tags[:]
        self._record.tags.extend(response.tags)


async def open_experiment(
    workspace: "WorkspaceCalls[Any, Any, Any]", name: str, *, validate: bool = True
) -> ExperimentRecord:
    """The record of the active experiment of this name, which is made if there is none.

    Raises:
        UserErrorException: The name is not allowed.
    """
    if validate and (not isinstance(name, str) or not NAME.fullmatch(name)):
        raise UserErrorException(
            f"{name!r} is not the name of an experiment: it must start with a letter or digit, followed by up to 254 "
            "letters, digits, dashes and underscores."
        )
    connection = workspace._connection()
    request = api.CreateExperimentRequest(
        parent=workspace._record.name, experiment=ExperimentRecord(display_name=name), return_existing=True
    )
    return (await connection.call(connection.runs.CreateExperiment, request)).experiment


async def list_experiments(
    workspace: "WorkspaceCalls[Any, Any, Any]", view: experiment_pb2.ExperimentView.ValueType, query: str
) -> Sequence[ExperimentRecord]:
    """The records of the experiments of a workspace that `query` admits, newest first."""
    connection = workspace._connection()
    parent = workspace._record.name
    request = api.ListExperimentsRequest(parent=parent, view=view, filter=query, page_size=PAGE_SIZE)
    listed = pages(connection, connection.runs.ListExperiments, request)
    return [experiment async for page in listed for experiment in page.experiments]
