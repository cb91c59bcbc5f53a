"""What a journal says is thrown away only where it can never be carried out."""

from pathlib import Path
from typing import Any

import pytest

from runstream._journal.journal import Journal, done_bytes, journals_in
from runstream._journal.replay import Replay
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException, UserErrorException

NAME = "workspaces/space/runs/one"


class Services:
    """Services that answer one request by an error, and note the others."""

    def __init__(self, error: AzureMLException) -> None:
        self._error: AzureMLException | None = error
        self.answered: list[str] = []
        self.runs = self

    def __getattr__(self, method: str) -> str:
        return method

    async def call(self, method: str, request: Any, **options: object) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self.answered.append(method)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Tags, then properties."""
    journal = Journal(tmp_path)
    journal.add("ModifyTags", api.ModifyTagsRequest(name=NAME).SerializeToString())
    journal.add("AddProperties", api.AddPropertiesRequest(name=NAME).SerializeToString())
    return journal


@pytest.mark.parametrize(
    "error",
    [
        ServiceException("The transfer failed.", status_code=500, reason="TRANSFER_FAILED"),
        AuthenticationException("The token has expired.", reason="TOKEN_EXPIRED"),
    ],
    ids=["bucket", "token"],
)
async def test_what_may_work_later_stays_and_so_does_what_follows(journal: Journal, error: AzureMLException) -> None:
    services = Services(error)
    replay = Replay(journal.path.parent, services)  # type: ignore[arg-type]
    await replay.run()

    assert [trouble.what for trouble in replay.troubles] == [NAME]
    assert (services.answered, done_bytes(journal.path)) == ([], 0)
    await Replay(journal.path.parent, services).run()  # type: ignore[arg-type]
    assert services.answered == ["ModifyTags", "AddProperties"]


@pytest.mark.parametrize(
    "error",
    [
        ServiceException("No such run.", status_code=404, reason="RUN_NOT_FOUND"),
        UserErrorException("It is another one.", reason="PROPERTY_EXISTS"),
    ],
    ids=["run", "value"],
)
async def test_what_never_works_is_told_and_the_rest_is_done(journal: Journal, error: AzureMLException) -> None:
    services = Services(error)
    replay = Replay(journal.path.parent, services)  # type: ignore[arg-type]
    await replay.run()

    assert [trouble.what for trouble in replay.troubles] == [NAME]
    assert services.answered == ["AddProperties"]
    assert done_bytes(journals_in(journal.path.parent)[0]) == journal.path.stat().st_size
