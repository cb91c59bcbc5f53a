"""The bucket: where the bytes of artifacts lie, in any S3-compatible object store.

Invariants:
- An object store in trouble is BucketUnavailable to the caller; what exactly went wrong is in the log.
- Only presigned URLs leave the process, made for the endpoint that clients reach; they are never logged.
- Whether an object is read to its end or not, its connection goes back to the pool.
"""

from runstream_server.objectstore.bucket import Bucket, open_bucket
from runstream_server.objectstore.errors import ObjectMissing
from runstream_server.objectstore.objects import ObjectInfo, PartInfo, Presigned, Unfinished
from runstream_server.objectstore.reading import ReadAhead, in_sizes, read_on

__all__ = [
    "Bucket",
    "ObjectInfo",
    "ObjectMissing",
    "PartInfo",
    "Presigned",
    "ReadAhead",
    "Unfinished",
    "in_sizes",
    "open_bucket",
    "read_on",
]
