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
class Digest:
    """What the bytes of an object are."""

    size_bytes: int
    sha256: str
    """64 lower-case hexadecimal digits."""


@dataclass(frozen=True)
class PresignedPut:
    """Permission to put one object, of known size and content, by HTTP."""

    url: str = field(repr=False)
    headers: Mapping[str, str]
    """To be sent with the request. Its Content-Length is signed as well: the size, exactly."""
