"""Moves the bytes of artifacts between files of this machine and the bucket, by the URLs that the services give out.

Files are streamed, so memory does not grow with their size; a few travel at once. What breaks on the way is tried
again, a download from where it broke.
"""

from runstream._transfer.download import download
from runstream._transfer.upload import bind, store, upload

__all__ = ["bind", "download", "store", "upload"]
