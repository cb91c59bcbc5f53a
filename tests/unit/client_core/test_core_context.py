"""Section 7: how a `with` statement is left."""

import logging

import pytest

from runstream.aio import AwaitingContext
from runstream.core.run import BlockingContext
from runstream.exceptions import ServiceException


class Away:
    """A run whose services are away."""

    id = "r1"

    def _enter(self) -> None:
        pass

    def _leave(self) -> None:
        pass

    def _left(self) -> None:
        pass


class AwayRun(Away, BlockingContext):
    """Its blocking form."""

    def fail(self, error_details: BaseException) -> None:
        raise ServiceException("nobody answers", status_code=503)


class AwayAwaitingRun(Away, AwaitingContext):
    """Its awaiting form."""

    async def fail(self, error_details: BaseException) -> None:
        raise ServiceException("nobody answers", status_code=503)


def leave() -> None:
    with AwayRun():
        raise ValueError("boom")


async def leave_awaiting() -> None:
    async with AwayAwaitingRun():
        raise ValueError("boom")


def test_the_error_of_the_program_goes_on_when_the_services_are_away(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "runstream"), pytest.raises(ValueError, match="boom"):
        leave()

    assert caplog.messages == ["Run r1 could not be recorded as failed: nobody answers"]


async def test_the_awaiting_form_lets_the_error_go_on_as_well() -> None:
    with pytest.raises(ValueError, match="boom"):
        await leave_awaiting()
