"""The job service: knows where submitted runs can execute."""

from runstream_server.jobs.mount import mount

__all__ = ["mount"]
