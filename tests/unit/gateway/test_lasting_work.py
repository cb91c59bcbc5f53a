"""Work that goes on when whoever asked for it has gone."""

import asyncio

import pytest

from runstream_server.gateway.lasting import to_its_end


class Work:
    """Something that takes its time."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.is_done = asyncio.Event(), asyncio.Event(), False

    async def do(self) -> None:
        self.begun.set()
        await self.may_end.wait()
        self.is_done = True


async def test_work_is_done_before_a_cancellation_is_told() -> None:
    work = Work()
    task = asyncio.create_task(to_its_end(work.do()))
    await work.begun.wait()
    task.cancel()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert work.is_done


async def test_who_is_cancelled_twice_gives_it_up() -> None:
    work = Work()
    task = asyncio.create_task(to_its_end(work.do()))
    await work.begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not work.is_done


async def test_errors_of_work_are_told() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await to_its_end(fail())
