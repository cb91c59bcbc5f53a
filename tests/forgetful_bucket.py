"""A bucket that does not keep what it is given."""

from runstream_server.objectstore import Bucket


class ForgetfulBucket(Bucket):
    """Stores other bytes than it is given."""

    async def put(self, key: str, data: bytes) -> None:
        damaged = bytearray(data)
        damaged[len(data) // 3] ^= 1
        await super().put(key, bytes(damaged))
