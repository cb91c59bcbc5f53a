"""What can go wrong with an object, besides BucketUnavailable."""

from runstream_server.errors import DataLoss


class ObjectMissing(DataLoss):
    """An object that should be there is not."""

    reason = "OBJECT_MISSING"

    def __init__(self, key: str) -> None:
        super().__init__(f"object {key} is not in the bucket; restore it from a backup", key=key)
