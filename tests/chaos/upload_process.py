"""`python -m tests.chaos.upload_process ADDRESS RUN PATH FILE`: uploads a file as the client does, to be killed."""

import asyncio
import sys
from pathlib import Path

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream._transfer import upload


async def main(address: str, run: str, path: str, file: str) -> None:
    """Uploads; fails as the client fails."""
    try:
        await upload(Connection.to(address), run, [(path, Path(file))])
    finally:
        await close_connections()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
