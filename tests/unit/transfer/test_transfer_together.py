"""Small files that come by one call, whatever the services answer."""

import hashlib
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from runstream._transfer.partial import write_whole
from runstream._transfer.progress import Moved, Silent
from runstream._transfer.settings import Settings
from runstream._transfer.together import Listed, download_together
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    Artifact,
    BatchReadArtifactsRequest,
    BatchReadArtifactsResponse,
    SmallArtifact,
)
from runstream.exceptions import AuthenticationException, ServiceException

CONTENTS = {f"outputs/{number}": b"file %d" % number for number in range(9)}
FULL = ServiceException("There is no room.", status_code=429, reason="TOO_MANY_CALLS")
AWAY = ServiceException("The stream broke.", status_code=503, reason="INTERRUPTED")
OLDER = ServiceException("The call failed with UNIMPLEMENTED.", status_code=500)
NOT_FOUND = ServiceException("There is no such artifact.", status_code=404, reason="ARTIFACT_NOT_FOUND")
LOST = ServiceException("Stored bytes are damaged.", status_code=500, reason="DATA_LOSS")
REFUSED = AuthenticationException("No.", reason="PERMISSION_DENIED")


class Services:
    """Services that send three artifacts in each message; each error ends a stream after its first message."""

    def __init__(self, *errors: Exception, damaged: Sequence[str] = ()) -> None:
        self._errors = iter(errors)
        self._damaged = damaged
        self.asked: list[list[str]] = []
        self.artifacts = self

    def __getattr__(self, method: str) -> str:
        return method

    async def stream(
        self, method: str, request: BatchReadArtifactsRequest
    ) -> AsyncIterator[BatchReadArtifactsResponse]:
        assert method == "BatchReadArtifacts"
        paths = list(request.paths)
        self.asked.append(paths)
        error = next(self._errors, None)
        for start in range(0, len(paths), 3):
            some = [SmallArtifact(artifact=artifact(path), data=self._data(path)) for path in paths[start : start + 3]]
            yield BatchReadArtifactsResponse(artifacts=some)
            if error:
                raise error

    def _data(self, path: str) -> bytes:
        return b"other" if path in self._damaged else CONTENTS[path]


def artifact(path: str) -> Artifact:
    content = CONTENTS[path]
    return Artifact(path=path, size_bytes=len(content), digest=hashlib.sha256(content).hexdigest())


class Folder:
    """Where files are downloaded to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meter = Moved(Silent())
        self.lost: list[ServiceException] = []

    async def fill(self, services: Services, attempts: int = 2) -> list[str]:
        """Downloads all files; the paths of those that did not come."""
        files: list[Listed] = [(artifact(path), self.folder / path) for path in CONTENTS]
        settings = Settings(attempts=attempts)
        left = await download_together(services, "workspaces/w/runs/r", files, settings, self.meter)  # type: ignore[arg-type]
        self.lost = left.lost
        return [file.path for file, _ in left.files]

    @property
    def contents(self) -> dict[str, bytes]:
        """What is in it now."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "new")


async def test_all_files_come_by_one_call(folder: Folder) -> None:
    services = Services()

    assert await folder.fill(services) == []
    assert folder.contents == CONTENTS
    assert services.asked == [list(CONTENTS)]
    assert folder.meter.size == sum(map(len, CONTENTS.values()))


@pytest.mark.parametrize("error", [FULL, AWAY], ids=lambda error: error.reason)
async def test_only_what_did_not_come_is_asked_for_again(folder: Folder, error: ServiceException) -> None:
    services = Services(error)

    assert await folder.fill(services) == []
    assert folder.contents == CONTENTS
    assert services.asked == [list(CONTENTS), list(CONTENTS)[3:]]
    assert folder.meter.size == sum(map(len, CONTENTS.values()))


@pytest.mark.parametrize("errors", [[AWAY, AWAY], [OLDER]], ids=["away", "older"])
async def test_what_does_not_come_so_is_left_to_come_alone(folder: Folder, errors: list[ServiceException]) -> None:
    services = Services(*errors)

    left = await folder.fill(services)

    assert left == list(CONTENTS)[3 * len(errors) :]
    assert folder.contents == {path: CONTENTS[path] for path in CONTENTS if path not in left}
    assert len(services.asked) == len(errors)


async def test_bytes_that_are_not_right_are_not_written(folder: Folder) -> None:
    services = Services(damaged=["outputs/4"])

    assert await folder.fill(services) == ["outputs/4"]
    assert folder.contents == {path: data for path, data in CONTENTS.items() if path != "outputs/4"}
    assert services.asked == [list(CONTENTS), ["outputs/4"]]


async def test_what_is_lost_is_said_and_not_asked_for_again(folder: Folder) -> None:
    services = Services(LOST)

    assert await folder.fill(services) == []
    assert folder.lost == [LOST]
    assert len(services.asked) == 1


@pytest.mark.parametrize("error", [NOT_FOUND, REFUSED], ids=lambda error: error.reason)
async def test_what_trying_again_does_not_help_is_told(folder: Folder, error: Exception) -> None:
    services = Services(error)

    with pytest.raises(type(error), match=str(error)):
        await folder.fill(services)
    assert len(services.asked) == 1
    assert folder.contents == {path: CONTENTS[path] for path in list(CONTENTS)[:3]}


async def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(folder: Folder) -> None:
    (folder.folder / "outputs" / "4").mkdir(parents=True)

    with pytest.raises(OSError, match="outputs/4"):
        await folder.fill(Services())
    assert folder.contents == {path: CONTENTS[path] for path in list(CONTENTS)[:4]}


def test_a_file_appears_whole_in_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "a").symlink_to("other")

    write_whole(tmp_path / "a", b"new", executable=True)

    assert not (tmp_path / "a").is_symlink()
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "other").read_bytes()) == (b"new", b"other")
    assert (tmp_path / "a").stat().st_mode & 0o100
    assert len(list(tmp_path.iterdir())) == 2


def test_many_threads_may_write_the_same_file(tmp_path: Path) -> None:
    datas = [bytes([number]) * 100_000 for number in range(8)]
    threads = [threading.Thread(target=write_whole, args=(tmp_path / "a", data)) for data in datas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (tmp_path / "a").read_bytes() in datas
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
