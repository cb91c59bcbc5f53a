"""Moves the bytes of artifacts between files of this machine and the bucket, by the URLs that the services give out.

Files are streamed in parts, several at a time, so memory does not grow with their size. What breaks on the way is tried
again from where it broke, also by a later process; where the bucket cannot be reached bytes go through the services.
"""

from runstream._transfer.download import download, download_all, download_listed
from runstream._transfer.known import missing_of
from runstream._transfer.upload import bind, send, store, upload

__all__ = ["bind", "download", "download_all", "download_listed", "missing_of", "send", "store", "upload"]
