"""What is known about objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class ObjectInfo:
    """What the store knows about an object."""

    key: str
    size_bytes: int
    change_time: datetime


@dataclass(frozen=True)
class PartInfo:
    """What the store knows about a part of an object that is not whole yet."""

    tag: str
    """What the store calls these bytes. No digest."""

    size_bytes: int


@dataclass(frozen=True)
class Unfinished:
    """An object of which there may be parts, but which is not there."""

    key: str
    parts_id: str
    begin_time: datetime


@dataclass(frozen=True)
class Presigned:
    """Permission to make one HTTP request to the store."""

    url: str = field(repr=False)
    headers: Mapping[str, str]
    """To be sent with the request. Where a part is put its Content-Length is signed as well: the size, exactly."""
