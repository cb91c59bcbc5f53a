"""Carries the artifacts that one writer logged as metrics: first the bytes, then the reference in the series."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from runstream._channel.backoff import backoff_seconds
from runstream._channel.tokens import TOKEN_REASONS
from runstream._spool.artifacts import Artifact
from runstream._spool.events import Refusal
from runstream._transfer import bind, store
from runstream._uplink.append import Stopped
from runstream._uplink.followers import Client
from runstream.api.metrics.v1.metrics_service_pb2 import (
    ArtifactValues,
    LogMetricsRequest,
    LogMetricsResponse,
    MetricBatch,
    SeriesColumns,
)
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException, UserErrorException

WRITER_SUFFIX: Final = "-artifacts"
"""References go by a writer of their own, so that no number waits for the bytes of a picture."""
TRANSIENT: Final = frozenset({429, 503})
NOWHERE: Final = frozenset({"RUN_NOT_FOUND", "WORKSPACE_NOT_FOUND"})
LONGEST_PAUSE_SECONDS: Final = 5.0
DEFECT_ATTEMPTS: Final = 5
"""How often the services or the bucket may fail with one artifact in other ways than being away."""
LOOK_SECONDS: Final = 0.1
"""How often it is looked whether earlier files of the same process are stored."""
TOGETHER: Final = 32
"""Files whose bytes are brought up at once."""
DIGEST_DIGITS: Final = 8
LOST: Final = "files that were kept beside a spool for it, or for other metrics, are gone"

_logger = logging.getLogger(__name__)


class Attendant(Protocol):
    """Who is told of what is not stored."""

    def take_refusal(self, refusal: Refusal) -> None:
        """Values that are not stored."""

    def stop(self, stopped: Stopped) -> None:
        """The services want nothing more of this writer."""


class _Stopped(Exception):
    """The run does not exist any more, or the token is refused: everything stays where it is."""


class Artifacts:
    """The artifacts of one spool, one after the other.

    A file is removed when its reference is durable, so after a restart a missing one is done. References are batches
    that have the artifact's number as their sequence: whatever is sent again is stored once.
    """

    def __init__(self, client: Client, folder: Path, attendant: Attendant, is_next: Callable[[], bool]) -> None:
        """Sends nothing before `is_next`: references of one metric keep their order from spool to spool."""
        self._client = client
        self._connection = client.connection
        self._folder = folder
        self._attendant = attendant
        self._is_next = is_next
        self._waiting: deque[Artifact] = deque()
        self._digests: dict[int, str] = {}
        self._added = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self.is_failing = False
        """Whether the last attempt to send something failed."""

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to do."""
        return self._settled.is_set()

    def add(self, artifact: Artifact) -> None:
        """Takes an artifact, in the order of their numbers."""
        if self._file(artifact).exists():
            self._waiting.append(artifact)
            self._settled.clear()
            self._added.set()

    async def reach(self) -> None:
        """Returns when everything that was added is stored or refused, or the services want nothing more."""
        await self._settled.wait()

    async def send(self) -> None:
        """Sends what is added, for ever."""
        await self._added.wait()
        while not self._is_next():  # noqa: ASYNC110 - a file that vanishes tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        while True:
            await self._added.wait()
            with contextlib.suppress(_Stopped):
                while self._waiting:
                    await self._store_together()
                    await self._store(self._waiting[0])
                    self._waiting.popleft()
            self._added.clear()
            self._settled.set()

    async def _store_together(self) -> None:
        """Brings the bytes of what waits to the services, many at once; where that fails, each goes for itself."""
        if self._waiting[0].number in self._digests:
            return
        some = list(islice(self._waiting, TOGETHER))
        with contextlib.suppress(AzureMLException, OSError):
            digests = await store(self._connection, self._client.run, [self._file(each) for each in some])
            self._digests = {each.number: digest for each, digest in zip(some, digests, strict=True)}

    async def _store(self, artifact: Artifact) -> None:
        """Stores an artifact however long the services are away; what they do not take is refused."""
        failures = defects = 0
        while True:
            try:
                await self._send(artifact)
            except (AzureMLException, OSError) as error:
                if _stops(error):
                    self._attendant.stop(Stopped(str(getattr(error, "reason", "")), _text(error)))
                    raise _Stopped from error
                is_collected = getattr(error, "reason", "") == "BLOB_MISSING"
                if is_collected:  # the services were away for so long that they keep its bytes no more
                    self._digests.pop(artifact.number, None)
                is_away = _is_away(error)
                defects += not is_away
                is_refused = isinstance(error, UserErrorException) and not (is_away or is_collected)
                if defects == DEFECT_ATTEMPTS or is_refused:
                    return await self._refuse(artifact, error)
                _logger.info("artifact %s of %s: %s", artifact.path, self._client.run, _text(error))
            else:
                self.is_failing = False
                return None
            self.is_failing = True
            await asyncio.sleep(min(backoff_seconds(failures), LONGEST_PAUSE_SECONDS))
            failures += 1

    async def _send(self, artifact: Artifact) -> None:
        path = await self._bind(artifact.path, await self._digest(artifact))
        times, values = [artifact.time], ArtifactValues(kind=artifact.kind, paths=[path])  # type: ignore[arg-type]
        columns = SeriesColumns(metric=artifact.metric, times=times, artifacts=values, description=artifact.description)
        for it in (await self._log_after_gap(artifact, columns)).refusals:
            self._attendant.take_refusal(Refusal(it.metric, it.reason, it.message, it.count))
        with contextlib.suppress(OSError):
            self._file(artifact).unlink()

    def _file(self, artifact: Artifact) -> Path:
        return self._folder / str(artifact.number)

    async def _digest(self, artifact: Artifact) -> str:
        """The digest of bytes that the services have."""
        if artifact.number not in self._digests:
            (self._digests[artifact.number],) = await store(self._connection, self._client.run, [self._file(artifact)])
        return self._digests[artifact.number]

    async def _bind(self, path: str, digest: str) -> str:
        """Makes bytes a file of the run; its path: where that belongs to other bytes, one that has the digest in it."""
        try:
            await bind(self._connection, self._client.run, [(path, digest)])
        except UserErrorException as error:
            if error.reason != "ARTIFACT_EXISTS":
                raise
            path = _with_digest(path, digest)
            await bind(self._connection, self._client.run, [(path, digest)])
        return path

    async def _log_after_gap(self, artifact: Artifact, columns: SeriesColumns) -> LogMetricsResponse:
        """Logs a reference; where those before it are missing on both sides, their files are lost."""
        try:
            return await self._log(artifact.number, columns)
        except UserErrorException as error:
            if error.reason != "SEQUENCE_GAP":
                raise
            expected = int(error.metadata["expected"])
        for sequence in range(expected, artifact.number):
            await self._log(sequence)
        self._attendant.take_refusal(Refusal(artifact.metric, "FILE_LOST", LOST, artifact.number - expected))
        return await self._log(artifact.number, columns)

    async def _log(self, sequence: int, *columns: SeriesColumns) -> LogMetricsResponse:
        batch = MetricBatch(sequence=sequence, series=columns)
        writer = f"{self._client.writer}{WRITER_SUFFIX}"
        request = LogMetricsRequest(run=self._client.run, writer=writer, batch=batch)
        return await self._connection.call(self._connection.metrics.LogMetrics, request)

    async def _refuse(self, artifact: Artifact, error: Exception) -> None:
        reason = getattr(error, "reason", "") or "UPLOAD_FAILED"
        message = f"its file {artifact.path!r} was not uploaded: {_text(error)}"
        self._attendant.take_refusal(Refusal(artifact.metric, reason, message, 1))
        with contextlib.suppress(AzureMLException):
            await self._log(artifact.number)
        with contextlib.suppress(OSError):
            self._file(artifact).unlink()


def _is_away(error: Exception) -> bool:
    """Whether it may pass: also what does not come from the services, but from something in between."""
    if isinstance(error, ServiceException):
        return error.status_code in TRANSIENT or not error.reason
    return isinstance(error, AuthenticationException)


def _stops(error: Exception) -> bool:
    if isinstance(error, AuthenticationException):
        return error.reason in TOKEN_REASONS
    return isinstance(error, ServiceException) and error.reason in NOWHERE


def _text(error: Exception) -> str:
    return getattr(error, "message", "") or str(error) or repr(error)


def _with_digest(path: str, digest: str) -> str:
    """A path near another one: `plots/a.png` becomes `plots/a_0123abcd.png`."""
    pure = PurePosixPath(path)
    return str(pure.with_name(f"{pure.stem}_{digest[:DIGEST_DIGITS]}{pure.suffix}"))
