"""How transfers go about it."""

from dataclasses import dataclass
from typing import Final

MEGABYTE: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a transfer may take."""

    attempts: int = 8
    """How often each request is tried, with pauses that grow: eight take about nine seconds of pauses."""

    at_once: int = 4
    """Requests to the bucket at the same time."""

    range_bytes: int = 16 * MEGABYTE
    """A file of more than two of these is downloaded in ranges of this size; those that arrived outlive the process."""

    eager_bytes: int = 256 * MEGABYTE
    """A file of this size or more is sent while it is hashed, and not after that."""

    use_bucket: bool = True
    """Whether the bucket is to be reached by its URLs at all; false: everything goes through the services."""


DEFAULT: Final = Settings()
