"""Tries transfers again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from runstream._channel.backoff import backoff_seconds
from runstream._channel.tasks import end_tasks
from runstream._transfer.http import TransferFailed, Unreachable
from runstream._transfer.routes import attempts_left, note_cut_off
from runstream.exceptions import ServiceException

TRANSIENT: Final = frozenset({429, 503})
"""How the services say that they are too busy, or away."""

T = TypeVar("T")
R = TypeVar("R")


async def persist(attempt: Callable[[], Awaitable[T]], attempts: int) -> T:
    """What an attempt returns, the first that succeeds of so many; fewer where nobody has ever answered.

    Raises:
        Unreachable: Nobody answers.
        ServiceException: The bucket failed in the last one too, or refused.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except TransferFailed as failed:
            if failures + 1 >= attempts_left(failed, attempts):
                raise failed.told() from None
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1


async def persist_any_way(attempt: Callable[[], Awaitable[T]], attempts: int) -> T:
    """As `persist`; where a bucket cannot be reached, attempts are made again that know of it.

    Raises:
        ServiceException: As for `persist`.
    """
    try:
        return await persist(attempt, attempts)
    except Unreachable as unreachable:
        note_cut_off(unreachable.host)
    return await persist(attempt, attempts)


@contextmanager
def tried_again() -> Iterator[None]:
    """Where the services are too busy or away within the context, that is an attempt that failed.

    Raises:
        TransferFailed: They were.
    """
    try:
        yield
    except ServiceException as error:
        if error.status_code not in TRANSIENT:
            raise
        raise TransferFailed(error.message, transient=True) from error


async def each(work: Callable[[T], Awaitable[R]], items: Iterable[T], at_once: int) -> list[R]:
    """The results of work on each item, in order, so many of them at a time; the first failure ends all."""
    queue, results = enumerate(items), dict[int, R]()

    async def worker() -> None:
        for index, item in queue:
            results[index] = await work(item)

    tasks = [asyncio.ensure_future(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end_tasks(*tasks)
    return [results[index] for index in sorted(results)]


def parts(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    """The items in pieces of so many."""
    return (items[start : start + count] for start in range(0, len(items), count))
