"""What the services of a process stand on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import grpc

from runstream_server.auth import Auth
from runstream_server.config import Config
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Hints, Postgres


@dataclass(frozen=True, kw_only=True)
class Platform:
    """Passed to each service when it is mounted."""

    config: Config
    postgres: Postgres
    bucket: Bucket
    hints: Hints

    channel: grpc.aio.Channel
    """Leads to the other services, in this process or another one."""

    stream_channel: grpc.aio.Channel
    """Leads there too, by a connection of its own: streams that last must not use up the room for calls."""

    open_channel: grpc.aio.Channel
    """Leads there as well and shows nothing: for calls that show the token of somebody else."""

    auth: Auth
    """Who may call, and tokens."""

    draining: asyncio.Event
    """Set when the process stops: streams say so, commit what arrived and end."""

    now: Callable[[], datetime]
    """The time, with its zone."""
