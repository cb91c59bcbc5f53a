"""What a run is, apart from what it does: its record, attributes and representations."""

import logging
from typing import TYPE_CHECKING, Any, Generic, cast

from runstream._channel import Connection, loop
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.experiment_pb2 import Experiment as ExperimentRecord
from runstream.core import _links
from runstream.core._forms import E, R, W, form_of
from runstream.core._labels import from_tags
from runstream.core._outputs import TrackedOutputs
from runstream.core._status import status_name
from runstream.core._surface import Blocking
from runstream.exceptions import ServiceException

if TYPE_CHECKING:
    from runstream._spool import RunSpool

logger = logging.getLogger("runstream")


class RunRecord(Generic[W, E, R]):
    """A run as it was when it was last read or changed through this object."""

    _workspace: W
    _record: run_pb2.Run
    _experiment: E | None = None
    _outputs: TrackedOutputs | None = None
    _is_partial = False

    @classmethod
    def _of(cls, workspace: W, record: run_pb2.Run, experiment: E | None = None) -> Any:
        """A run object of exactly this class for a record."""
        run = cls.__new__(cls)
        run._attach(workspace, record, experiment)
        return run

    @classmethod
    def _typed(cls, workspace: W, record: run_pb2.Run, experiment: E | None = None) -> Any:
        """A run object of the class, or made by the function, that is registered for the type of the run."""
        form = form_of(cls)
        made_by = form.run_types.get(record.run_type, form.run)
        if isinstance(made_by, type) and issubclass(made_by, RunRecord):
            return made_by._of(workspace, record, experiment)
        run = form.run._of(workspace, record, experiment)
        return made_by(run.experiment, run)

    @classmethod
    async def _get(cls, workspace: W, run_id: str) -> Any:
        return cls._typed(workspace, await cls._read_record(workspace, run_id))

    def _attach(self, workspace: W, record: run_pb2.Run, experiment: E | None) -> None:
        self._workspace, self._record, self._experiment = workspace, record, experiment

    @property
    def id(self) -> str:
        """The id of the run, unique in its workspace."""
        return run_id(self._record.name)

    @property
    def name(self) -> str:
        """The deprecated short name of the run: `run_<id>` unless one was given."""
        return self._read().label or f"run_{self.id}"

    @property
    def number(self) -> int:
        """Counts the top-level runs of the experiment from 1 without gaps; 0 for a child run."""
        return self._read().number

    @property
    def type(self) -> str | None:
        """What kind of run this is, `azureml.scriptrun` for example; None for an interactive run."""
        return self._read().run_type or None

    @property
    def status(self) -> str:
        """The status as it was when the run was last read; `get_status()` asks the service."""
        return status_name(self._read().status)

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags as they were when the run was last read; `get_tags()` asks the service."""
        return from_tags(self._read().tags)

    @property
    def properties(self) -> dict[str, str]:
        """The properties as they were when the run was last read; `get_properties()` asks the service."""
        return dict(self._read().properties)

    @property
    def experiment(self) -> E:
        """The experiment the run belongs to."""
        if self._experiment is None:
            record = self._read() if not self._record.experiment else self._record
            stub = ExperimentRecord(name=record.experiment, display_name=record.experiment_display_name)
            self._experiment = cast(E, form_of(type(self)).experiment._of(self._workspace, stub, is_partial=True))
        return self._experiment

    @property
    def portal_url(self) -> str:
        """The address of the run's page in the studio."""
        return self.get_portal_url()

    def get_portal_url(self) -> str:
        """The address of the run's page in the studio, which the gateway of the services serves."""
        return self._workspace._page("runs", self.id)

    def __repr__(self) -> str:
        return (
            f"Run(Experiment: {self._record.experiment_display_name},\nId: {self.id},\n"
            f"Type: {self._record.run_type or None},\nStatus: {status_name(self._record.status)})"
        )

    def _repr_html_(self) -> str:
        fields = {
            "Experiment": self._record.experiment_display_name,
            "Id": self.id,
            "Type": self._record.run_type or "None",
            "Status": status_name(self._record.status),
        }
        docs = _links.page(self._workspace._address, "docs", "run")
        links = {
            "Details Page": (self.get_portal_url(), "Link to Runstream"),
            "Docs Page": (docs, "Link to Documentation"),
        }
        return _links.table(fields, links)

    def _read(self) -> run_pb2.Run:
        """The record. What only its environment told of it yet is completed first, if the form may block for it."""
        if self._is_partial and isinstance(self, Blocking):
            loop.run(self._refresh())
        return self._record

    async def _refresh(self) -> run_pb2.Run:
        self._record = await self._read_record(self._workspace, self.id)
        self._is_partial = False
        return self._record

    @classmethod
    async def _read_record(cls, workspace: W, run_id: str) -> run_pb2.Run:
        connection = workspace._connection()
        request = api.GetRunRequest(name=workspace._run_name(run_id))
        try:
            return (await connection.call(connection.runs.GetRun, request)).run
        except ServiceException as error:
            if error.status_code != 404:
                raise
            raise run_not_found(run_id, f"workspace {workspace.name}", error) from None

    def _connection(self) -> Connection:
        return self._workspace._connection()

    def _spool(self) -> "RunSpool":
        """What this process logs to the run through. It writes nothing before something is logged."""
        from runstream._spool import RunSpool

        return RunSpool.open(self._record.name, self._workspace._address)


def run_id(name: str) -> str:
    """The id in the resource name of a run."""
    return name.rpartition("/runs/")[2]


def run_not_found(run_id: str, place: str, cause: ServiceException) -> ServiceException:
    """Says which run was looked for where."""
    return ServiceException(
        f"Run {run_id} was not found in {place}.", status_code=404, reason=cause.reason, metadata=cause.metadata
    )
