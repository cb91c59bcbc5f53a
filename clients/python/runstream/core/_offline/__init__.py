"""The run outside of a job: it prints what would be stored, and remembers it."""

from runstream.core._offline.run import OfflineCalls

__all__ = ["OfflineCalls"]
