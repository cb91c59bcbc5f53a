"""Stands for the services while a process is offline."""

import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from runstream._channel.address import MODE_VARIABLE, OFFLINE
from runstream._journal.journal import Journal
from runstream._spool.places import group_folder
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.workspace_pb2 import Workspace
from runstream.exceptions import RunEnvironmentException, UserErrorException

if TYPE_CHECKING:
    from runstream._snapshot.take import Survey

UPLOAD: Final = "UploadFiles"
"""The entry of files: JSON [run, [[name in the run, copy], ...]]."""
SNAPSHOT: Final = "TakeSnapshot"
"""The entry of a snapshot: JSON [run, [[path, digest, size, is executable, is folder], ...], {digest: copy}]."""
ENDS: Final = {
    "CompleteRun": run_pb2.RUN_STATUS_COMPLETED,
    "FailRun": run_pb2.RUN_STATUS_FAILED,
    "CancelRun": run_pb2.RUN_STATUS_CANCELED,
}


class Methods:
    """The methods of a stub, of which there are as many as are asked for."""

    def __init__(self, answer: Callable[[str, Any], Any]) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        return partial(self._answer, name)


class OfflineConnection:
    """Has of a `Connection` what changes something, and raises where something would be read."""

    address = OFFLINE

    def __init__(self) -> None:
        self._journal = Journal(group_folder(OFFLINE))
        self._known: dict[str, run_pb2.Run | Experiment] = {}
        self.runs = self.metrics = self.artifacts = self.logs = self.jobs = Methods(self._answer)

    @classmethod
    def shared(cls) -> "OfflineConnection":
        """That of this process."""
        global _shared
        _shared = _shared or cls()
        return _shared

    async def call(self, method: Callable[[Any], Any], request: Any, **options: object) -> Any:
        """Notes a request, and returns what the services would say.

        Raises:
            RunEnvironmentException: Only the services can answer it.
            OSError: It could not be noted.
        """
        return method(request)

    async def stream(self, method: object, request: object, **options: object) -> AsyncIterator[Any]:
        """Raises RunEnvironmentException: only the services can answer."""
        raise _offline_error()
        yield

    def keep_files(self, run: str, files: Sequence[tuple[str, Path | bytes]]) -> None:
        """Notes files of a run as they are now, to be uploaded later."""
        copies = self._journal.keep([source for _, source in files])
        names = [[name, str(copy)] for (name, _), copy in zip(files, copies, strict=True)]
        self._journal.add(UPLOAD, json.dumps([run, names]).encode())

    def keep_snapshot(self, run: str, found: "Survey") -> None:
        """Notes the snapshot of a run as it is now, to be stored later."""
        digests = list(found.contents)
        copies = self._journal.keep([found.contents[digest].source for digest in digests])
        kept = {digest: str(copy) for digest, copy in zip(digests, copies, strict=True)}
        entries = [[it.path, it.digest, it.size_bytes, it.executable, it.folder] for it in found.entries]
        self._journal.add(SNAPSHOT, json.dumps([run, entries, kept]).encode())

    async def close(self) -> None:
        """Does nothing: a journal stays open as long as its process lives."""

    def _answer(self, method: str, request: Any) -> Any:
        answer = getattr(self, f"_{method}", None) or (partial(self._end, method) if method in ENDS else None)
        if answer is None:
            raise _offline_error()
        return answer(request)

    def _note(self, method: str, request: Any) -> None:
        self._journal.add(method, request.SerializeToString(deterministic=True))

    def _GetWorkspace(self, request: Any) -> Any:  # noqa: N802
        return api.GetWorkspaceResponse(workspace=Workspace(name=request.name))

    def _CreateWorkspace(self, request: Any) -> Any:  # noqa: N802
        request.return_existing = True
        self._note("CreateWorkspace", request)
        workspace = Workspace(name=f"workspaces/{request.workspace_id}", display_name=request.workspace.display_name)
        return api.CreateWorkspaceResponse(workspace=workspace)

    def _CreateExperiment(self, request: Any) -> Any:  # noqa: N802
        self._note("CreateExperiment", request)
        name = f"{request.parent}/experiments/@{request.experiment.display_name}"
        experiment = self._known.setdefault(
            name, Experiment(name=name, display_name=request.experiment.display_name, tags=request.experiment.tags)
        )
        return api.CreateExperimentResponse(experiment=experiment)  # type: ignore[arg-type]

    def _CreateRun(self, request: Any) -> Any:  # noqa: N802
        request.request_id = request.request_id or str(uuid.uuid4())
        self._note("CreateRun", request)
        return api.CreateRunResponse(run=self._begin(request))

    def _BatchCreateRuns(self, request: Any) -> Any:  # noqa: N802
        request.request_id = request.request_id or str(uuid.uuid4())
        self._note("BatchCreateRuns", request)
        return api.BatchCreateRunsResponse(runs=[self._begin(each) for each in request.requests])

    def _UpdateRun(self, request: Any) -> Any:  # noqa: N802
        self._note("UpdateRun", request)
        run = self._run(request.run.name)
        request.update_mask.MergeMessage(request.run, run)
        return api.UpdateRunResponse(run=run)

    def _ModifyTags(self, request: Any) -> Any:  # noqa: N802
        self._note("ModifyTags", request)
        record = self._known.get(request.name) or self._run(request.name)
        changed = {tag.key for tag in request.set} | set(request.remove)
        kept = [tag for tag in record.tags if tag.key not in changed]
        del record.tags[:]
        record.tags.extend([*kept, *request.set])
        return api.ModifyTagsResponse(tags=record.tags)

    def _AddProperties(self, request: Any) -> Any:  # noqa: N802
        run = self._run(request.name)
        for key, value in request.properties.items():
            if run.properties.get(key, value) != value:
                raise UserErrorException(f"Property {key} is {run.properties[key]!r} and cannot become {value!r}.")
        self._note("AddProperties", request)
        run.properties.update(request.properties)
        return api.AddPropertiesResponse(properties=run.properties)

    def _StartRun(self, request: Any) -> Any:  # noqa: N802
        self._note("StartRun", request)
        run = self._run(request.name)
        run.status = run_pb2.RUN_STATUS_RUNNING
        return api.StartRunResponse(run=run)

    def _end(self, method: str, request: Any) -> Any:
        run = self._run(request.name)
        if run.status not in ENDS.values():
            self._note(method, request)
            run.status = ENDS[method]
            run.end_time.GetCurrentTime()
            if method == "FailRun":
                run.error.CopyFrom(request.error)
        return getattr(api, f"{method}Response")(run=run)

    def _begin(self, request: Any) -> run_pb2.Run:
        run = run_pb2.Run()
        run.CopyFrom(request.run)
        run.name, run.status = f"{request.parent}/runs/{request.run_id}", run_pb2.RUN_STATUS_RUNNING
        parent = self._known.get(run.parent)
        if isinstance(parent, run_pb2.Run) and not run.experiment:
            run.experiment, run.experiment_display_name = parent.experiment, parent.experiment_display_name
        run.experiment_display_name = run.experiment.rpartition("/@")[2]
        run.heartbeat_enabled = False  # nobody would hear it
        run.create_time.CopyFrom(_now())
        run.start_time.CopyFrom(_now())
        self._known[run.name] = run
        return run

    def _run(self, name: str) -> run_pb2.Run:
        """What this process knows of a run."""
        found = self._known.setdefault(name, run_pb2.Run(name=name, status=run_pb2.RUN_STATUS_RUNNING))
        assert isinstance(found, run_pb2.Run)
        return found


def _now() -> Timestamp:
    moment = Timestamp()
    moment.GetCurrentTime()
    return moment


def _offline_error() -> RunEnvironmentException:
    return RunEnvironmentException(
        f"This needs the services, and this process is offline ({MODE_VARIABLE}=offline): what it records is kept on "
        "this machine until `runstream sync` uploads it, and can be read after that."
    )


def _leave_parent() -> None:
    if _shared is not None:
        _shared._journal.leave_parent()


_shared: OfflineConnection | None = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_parent)
