"""Carries out what journals say, in the order of time, each entry once."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from runstream._channel import Connection
from runstream._channel.errors import HTTP_STATUS
from runstream._journal.connection import ENDS, SNAPSHOT, UPLOAD
from runstream._journal.journal import (
    Entry,
    JournalDamaged,
    done_bytes,
    journals_in,
    note_done,
    read_entries,
    remove_journal,
)
from runstream._spool.lock import is_live
from runstream._transfer.contents import Content
from runstream.api.artifacts.v1.artifact_service_pb2 import SnapshotEntry
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException, UserErrorException

FOUNDATIONS: Final = frozenset({"CreateWorkspace", "CreateExperiment", "CreateRun", "BatchCreateRuns"})
"""Entries that everything after them stands on."""
SNAPSHOT_PROPERTY: Final = "ContentSnapshotId"
BY_DISPLAY_NAME: Final = "/experiments/@"
"""What an experiment is called offline, before its display name: the name that it has is known to the services only."""


class Trouble(NamedTuple):
    """Something that was not carried out."""

    what: str
    """The run, or the journal."""
    message: str


class Replay:
    """The journals of one folder on their way to the services."""

    def __init__(self, group: Path, connection: Connection) -> None:
        self._group = group
        self._connection = connection
        self._experiments: dict[str, str] = {}
        self._ended: set[str] = set()
        self.troubles: list[Trouble] = []
        self.runs: set[str] = set()
        """The runs that were made."""
        self.missing: set[str] = set()
        """Runs that could not be made: what was logged to them has nowhere to go."""

    async def run(self) -> None:
        """Carries out everything that can be; what cannot is a trouble.

        Raises:
            ServiceException: The services are away or busy. What was done is noted.
        """
        blocked: set[Path] = set()
        entries = self._entries()
        self._ended = {_request(entry).name for _, entry in entries if entry.method in ENDS}
        for journal, entry in entries:
            if journal in blocked:
                self._miss(entry)
            elif await self._carry_out(journal, entry):
                note_done(journal, entry.end)
            else:
                blocked.add(journal)
        for journal in journals_in(self._group):
            if journal not in blocked and not is_live(journal):
                self._conclude(journal)

    def _conclude(self, journal: Path) -> None:
        """Removes a journal that is carried out, or says what of it cannot be read."""
        done, size = done_bytes(journal), journal.stat().st_size
        if done >= size:
            remove_journal(journal)
        else:
            lost = f"{size - done} bytes at offset {done} cannot be read, and what they asked for is not done"
            self.troubles.append(Trouble(journal.name, lost))

    def _entries(self) -> list[tuple[Path, Entry]]:
        found: list[tuple[Path, Entry]] = []
        for journal in journals_in(self._group):
            with contextlib.suppress(JournalDamaged):  # said at the end
                for entry in read_entries(journal, done_bytes(journal)):
                    found.append((journal, entry))  # noqa: PERF401  (what comes before damage counts)
        return sorted(found, key=lambda each: each[1].time)

    async def _carry_out(self, journal: Path, entry: Entry) -> bool:
        """Carries out an entry; false: nothing after it in the journal can be."""
        try:
            await self._send(entry, is_live(journal))
        except AzureMLException as error:
            if isinstance(error, ServiceException) and error.status_code in (HTTP_STATUS["UNAVAILABLE"], 429):
                raise
            self.troubles.append(Trouble(_subject(entry) or journal.name, f"{entry.method}: {error.message}"))
            if entry.method in FOUNDATIONS or not _is_final(error):
                self._miss(entry)
                return False
        return True

    async def _send(self, entry: Entry, has_writer: bool) -> None:
        if entry.method in (UPLOAD, SNAPSHOT):
            await (self._upload(entry) if entry.method == UPLOAD else self._take_snapshot(entry))
            return
        request = _request(entry)
        await self._resolve(request)
        _tell_time(entry, request)
        for each in _creations(entry.method, request):
            # Nobody sends heartbeats; but a run whose script was killed is to end as one does that sends none any more.
            is_lost = not has_writer and _run_of(each) not in self._ended
            each.run.heartbeat_enabled = each.run.heartbeat_enabled and is_lost
        response = await self._connection.call(getattr(self._connection.runs, entry.method), request)
        self.runs.update(_made(entry.method, request))
        if entry.method == "CreateExperiment":
            name = f"{request.parent}{BY_DISPLAY_NAME}{request.experiment.display_name}"
            self._experiments[name] = response.experiment.name

    async def _upload(self, entry: Entry) -> None:
        from runstream._transfer import upload

        run, names = json.loads(entry.request)
        await upload(self._connection, run, [(name, self._copy(Path(copy))) for name, copy in names])

    async def _take_snapshot(self, entry: Entry) -> None:
        from runstream._snapshot.take import Survey, make_snapshot

        run, noted, copies = json.loads(entry.request)
        entries = [
            SnapshotEntry(path=path, digest=digest, size_bytes=size, executable=executable, folder=folder)
            for path, digest, size, executable, folder in noted
        ]
        sizes = {each.digest: each.size_bytes for each in entries}
        contents = {digest: Content(self._copy(Path(copy)), digest, sizes[digest]) for digest, copy in copies.items()}
        found = Survey(self._group, entries, contents)
        snapshot = await make_snapshot(self._connection, run.partition("/runs/")[0], found)
        request = api.AddPropertiesRequest(name=run, properties={SNAPSHOT_PROPERTY: snapshot})
        await self._connection.call(self._connection.runs.AddProperties, request)

    def _copy(self, noted: Path) -> Path:
        """A file that was kept, also where the folder was moved since."""
        return self._group / noted.parent.name / noted.name

    async def _resolve(self, request: Any) -> None:
        """Puts the experiment that the services know in the place of the one that was noted."""
        for each in (request, *getattr(request, "requests", ())):
            if hasattr(each, "run"):
                each.run.experiment = await self._experiment(each.run.experiment)
            elif hasattr(each, "name"):
                each.name = await self._experiment(each.name)

    async def _experiment(self, name: str) -> str:
        if BY_DISPLAY_NAME not in name:
            return name
        if name not in self._experiments:
            parent, _, display_name = name.partition(BY_DISPLAY_NAME)
            request = api.CreateExperimentRequest(
                parent=parent, experiment=Experiment(display_name=display_name), return_existing=True
            )
            response = await self._connection.call(self._connection.runs.CreateExperiment, request)
            self._experiments[name] = response.experiment.name
        return self._experiments[name]

    def _miss(self, entry: Entry) -> None:
        if entry.method in ("CreateRun", "BatchCreateRuns"):
            self.missing.update(_made(entry.method, _request(entry)))


def _is_final(error: AzureMLException) -> bool:
    """Whether an entry will never be carried out. Who may not now, or meets a bucket that fails, keeps what it says."""
    if isinstance(error, AuthenticationException):
        return False
    is_unknown = isinstance(error, ServiceException) and error.status_code == HTTP_STATUS["NOT_FOUND"]
    return is_unknown or isinstance(error, UserErrorException)


def _request(entry: Entry) -> Any:
    request = getattr(api, f"{entry.method}Request")()
    request.ParseFromString(entry.request)
    return request


def _creations(method: str, request: Any) -> list[Any]:
    if method == "CreateRun":
        return [request]
    return list(request.requests) if method == "BatchCreateRuns" else []


def _run_of(creation: Any) -> str:
    return f"{creation.parent}/runs/{creation.run_id}"


def _made(method: str, request: Any) -> Iterable[str]:
    return [_run_of(each) for each in _creations(method, request)]


def _subject(entry: Entry) -> str:
    if entry.method in (UPLOAD, SNAPSHOT):
        return str(json.loads(entry.request)[0])
    request = _request(entry)
    return next(iter(_made(entry.method, request)), "") or getattr(request, "name", "")


def _tell_time(entry: Entry, request: Any) -> None:
    """Says when what is asked for happened."""
    if entry.method in ENDS:
        request.end_time.FromMicroseconds(entry.time)
    for each in _starts(entry.method, request):
        each.start_time.FromMicroseconds(entry.time)


def _starts(method: str, request: Any) -> Iterable[Any]:
    return [request] if method == "StartRun" else [each for each in _creations(method, request) if each.start]
