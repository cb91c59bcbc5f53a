"""Looks at files in threads, for as long as somebody wants to know."""

import threading
from collections.abc import Sequence

from runstream._channel.threads import in_thread
from runstream._transfer.contents import Content, Source, look_at


async def looked_at(source: Source) -> Content:
    """Digest and size of a file; see `all_looked_at`."""
    return (await all_looked_at([source]))[0]


async def all_looked_at(sources: Sequence[Source]) -> list[Content]:
    """Digests and sizes of files, one after the other in one thread, which stops soon after this is cancelled.

    Raises:
        UserErrorException: One cannot be read.
    """
    unwanted = threading.Event()
    try:
        return await in_thread(lambda: [look_at(source, unwanted) for source in sources])
    finally:
        unwanted.set()
