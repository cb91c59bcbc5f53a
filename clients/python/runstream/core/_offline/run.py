"""The offline run as a whole."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from runstream.core import _links
from runstream.core._filters import Labels
from runstream.core._labels import from_tags, to_keys, to_properties, to_tags
from runstream.core._listing import Listing
from runstream.core._offline.metrics import OfflineMetrics
from runstream.core._offline.remedy import REMEDY, offline_error
from runstream.core._recording import OutputRecording
from runstream.core._run.children import child_tags
from runstream.core._run.lifecycle import to_error
from runstream.core._run.sources import files_below
from runstream.core._status import CANCELED, COMPLETED, FAILED, RUNNING, TERMINAL
from runstream.core._surface import dual_local
from runstream.exceptions import RunEnvironmentException, UserErrorException


class OfflinePlace:
    """Stands for the experiment or the workspace of an offline run: it has a name and nothing else."""

    def __init__(self, kind: str, **places: "OfflinePlace") -> None:
        self.name = "offline"
        self._kind = kind
        self.__dict__.update(places)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise RunEnvironmentException(f"An offline run has no {self._kind} to use {name} of. {REMEDY}")

    def __repr__(self) -> str:
        return f"{self._kind.capitalize()}(offline)"


def _has(labels: Mapping[str, str | None], wanted: Labels) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return wanted in labels
    return all(key in labels and labels[key] == value for key, value in wanted.items())


class OfflineCalls(OfflineMetrics):
    """Has all of `Run`. What needs the service raises `RunEnvironmentException`."""

    def __init__(self, run_id: str | None = None, parent: "Self | None" = None, **kwargs: object) -> None:
        super().__init__()
        self.id = run_id or f"OfflineRun_{uuid.uuid4()}"
        self.parent = parent
        self.experiment: Any = OfflinePlace("experiment", workspace=OfflinePlace("workspace"))
        self.display_name, self.description = "", ""
        self.number, self.type, self.status = 0, None, RUNNING
        self.tags: dict[str, str | None] = {}
        self.properties: dict[str, str] = {}
        self.input_datasets: dict[str, Any] = {}
        self.output_datasets: dict[str, Any] = {}
        self._error: dict[str, Any] | None = None
        self._files: dict[str, object] = {}
        self._children: list[Self] = []

    @property
    def identity(self) -> str:
        """As `id`."""
        return self.id

    @property
    def name(self) -> str:
        """The deprecated short name of the run."""
        return f"run_{self.id}"

    @property
    def portal_url(self) -> str:
        """An offline run has no page: raises RunEnvironmentException."""
        return self.get_portal_url()

    def get_portal_url(self) -> str:
        """An offline run has no page: raises RunEnvironmentException."""
        raise offline_error("A page in the studio")

    @dual_local
    def tag(self, key: str, value: object = None) -> None:
        """Prints a tag."""
        print(f"Attempted to add tag {key} with value {value}")  # noqa: T201
        self._add_tags({key: value})

    @dual_local
    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Prints tags."""
        print(f"Attempted to set tags {tags}")  # noqa: T201
        self._add_tags(tags)

    @dual_local
    def remove_tags(self, tags: Iterable[str]) -> None:
        """Prints which tags would be removed."""
        keys = to_keys(tags)
        print(f"Attempted to remove tags {keys}")  # noqa: T201
        for key in keys:
            self.tags.pop(key, None)

    @dual_local
    def get_tags(self) -> dict[str, str | None]:
        """The tags that were set."""
        return dict(self.tags)

    @dual_local
    def add_properties(self, properties: Mapping[str, object]) -> None:
        """Prints properties."""
        print(f"Attempted to add properties {properties}")  # noqa: T201
        added = to_properties(properties)
        for key, value in added.items():
            if self.properties.get(key, value) != value:
                raise UserErrorException(f"Property {key} is {self.properties[key]!r} and cannot become {value!r}.")
        self.properties.update(added)

    @dual_local
    def get_properties(self) -> dict[str, str]:
        """The properties that were added."""
        return dict(self.properties)

    @dual_local
    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> dict[str, Any]:
        """What was logged, in the shapes of `Run.get_metrics`."""
        if not recursive:
            return self._metrics(name, populate)
        found = {run.id: run._metrics(name, populate) for run in self._tree()}
        return {run_id: metrics for run_id, metrics in found.items() if metrics}

    @dual_local
    def start(self) -> None:
        """Does nothing: the run is running."""

    @dual_local
    def complete(self, _set_status: bool = True) -> None:
        """Ends the run."""
        self._end(COMPLETED)

    @dual_local
    def fail(
        self,
        error_details: str | BaseException | None = None,
        error_code: str | None = None,
        _set_status: bool = True,
    ) -> None:
        """Prints the error and ends the run."""
        error = to_error(error_details, error_code)
        print(f"Run failed with error code {error_code}:\n{error_details}")  # noqa: T201
        if self.status not in TERMINAL:
            self._error = {"error": {"code": error.code, "message": error.message}}
        self._end(FAILED)

    @dual_local
    def cancel(self, *, recursive: bool = False) -> None:
        """Ends the run, with `recursive` those below it too."""
        for run in self._tree() if recursive else [self]:
            run._end(CANCELED)

    @dual_local
    def flush(self, timeout_seconds: float = 300.0) -> None:
        """Prints that what was logged would be stored."""
        print(f"Attempted to flush run with id {self.id}")  # noqa: T201

    @dual_local
    def clean(self) -> None:
        """Does nothing: an offline run has no working copy."""

    @dual_local
    def get_status(self) -> str:
        """The status."""
        return self.status

    @dual_local
    def get_detailed_status(self) -> dict[str, Any]:
        """The status, as `Run.get_detailed_status` returns it."""
        return {"status": self.status, "details": None}

    @dual_local
    def get_details(self) -> dict[str, Any]:
        """What is known of the run, as `Run.get_details` returns it."""
        return self._details()

    @dual_local
    def get_details_with_logs(self) -> dict[str, Any]:
        """As `get_details`: an offline run has no log files."""
        return self._details()

    @dual_local
    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Returns the details at once: nobody but this process could end the run."""
        return self._details()

    @dual_local
    def get_all_logs(self, destination: object = None) -> list[str]:
        """Returns nothing: an offline run has no log files."""
        return []

    @dual_local
    def download_logs(self, destination: object = None) -> list[str]:
        """Returns nothing: an offline run has no log files."""
        return []

    def capture_output(self) -> OutputRecording:
        """Prints that what is printed would be recorded."""
        print("Attempted to capture output")  # noqa: T201
        return OutputRecording()

    @dual_local
    def upload_file(self, name: str, path_or_stream: object, datastore_name: str | None = None) -> None:
        """Prints which file would be stored."""
        print(f"Attempted to track file {name} at {path_or_stream}")  # noqa: T201
        self._files[name] = path_or_stream

    @dual_local
    def upload_files(
        self,
        names: Sequence[str] | None = None,
        paths: Sequence[object] = (),
        return_artifacts: bool = False,
        timeout_seconds: float | None = None,
        datastore_name: str | None = None,
        *,
        name: Sequence[str] | None = None,
    ) -> None:
        """Prints which files would be stored; the names may be given as `name`, as in SDK v1."""
        chosen = (names if name is None else name) or ()
        if len(chosen) != len(paths):
            raise TypeError(f"names and paths differ in length: {len(chosen)} and {len(paths)}")
        print(f"Attempted to track files {chosen} at {paths} with timeout {timeout_seconds}s")  # noqa: T201
        self._files.update(zip(chosen, paths, strict=True))

    @dual_local
    def upload_folder(self, name: str, path: object, datastore_name: str | None = None) -> None:
        """Prints which folder would be stored."""
        print(f"Attempted to track folder {name} at {path}")  # noqa: T201
        self._files.update(files_below(name, Path(str(path))))

    @dual_local
    def get_file_names(self) -> list[str]:
        """The names of the files that would be stored."""
        return sorted(self._files)

    @dual_local
    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: object = None) -> Self:
        """Makes an offline child run."""
        return self._child(f"{self.id}.{name or run_id or uuid.uuid4()}", {})

    @dual_local
    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Sequence[object] | None = None
    ) -> list[Self]:
        """Makes offline child runs."""
        return [self._child(f"{self.id}.{uuid.uuid4()}", tags) for tags in child_tags(count, tag_key, tag_values)]

    def get_children(
        self,
        recursive: bool = False,
        tags: Labels = None,
        properties: Labels = None,
        type: str | None = None,  # noqa: A002
        status: str | None = None,
        _rehydrate_runs: bool = True,
    ) -> Listing[Self]:
        """Lists the child runs, newest first."""
        below = list(self._tree())[1:] if recursive else self._children
        found = [
            run
            for run in reversed(below)
            if _has(run.tags, tags)
            and _has(run.properties, properties)
            and type in (None, run.type)
            and status in (None, run.status)
        ]

        async def fetch(token: str) -> tuple[list[Self], str]:
            return found, ""

        return Listing(f"Children of run {self.id}", fetch, lambda run: run.id)

    def _needs_service(self, *args: object, **kwargs: object) -> Any:
        """Raises RunEnvironmentException: this needs the service."""
        raise offline_error("This")

    download_file = download_files = _needs_service
    submit_child = register_model = take_snapshot = get_snapshot_id = restore_snapshot = _needs_service

    def __repr__(self) -> str:
        return f"Run(Experiment: offline,\nId: {self.id},\nType: None,\nStatus: {self.status})"

    def _repr_html_(self) -> str:
        fields = {"Experiment": "offline", "Id": self.id, "Type": "None", "Status": self.status}
        return _links.table(fields, {})

    def _child(self, run_id: str, tags: Mapping[str, object]) -> Self:
        child = type(self)(run_id, parent=self)
        child._add_tags(tags)
        self._children.append(child)
        return child

    def _tree(self) -> Iterator[Self]:
        yield self
        for child in self._children:
            yield from child._tree()

    def _end(self, status: str) -> None:
        if self.status not in TERMINAL:
            self.status = status

    def _add_tags(self, tags: Mapping[str, object]) -> None:
        self.tags.update(from_tags(to_tags(tags)))

    def _details(self) -> dict[str, Any]:
        details: dict[str, Any] = {
            "runId": self.id,
            "status": self.status,
            "services": {},
            "error": self._error,
            "properties": dict(self.properties),
            "inputDatasets": [],
            "outputDatasets": [],
            "logFiles": {},
        }
        return {key: value for key, value in details.items() if value is not None}

    def _enter(self) -> None:
        print(f"[START] Run {self.id} context")  # noqa: T201

    def _leave(self) -> None:
        """Does nothing yet: the end is announced when the run has ended."""

    def _left(self) -> None:
        print(f"[STOP] Run {self.id} context")  # noqa: T201
