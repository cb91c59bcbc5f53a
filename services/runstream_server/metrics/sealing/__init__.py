"""Moves the metrics of runs that have ended into Parquet objects in the bucket, and reads them there.

Invariants:
* A value leaves Postgres only after an object that holds it was read back, compared and made the current one.
* An object never changes. Its row is there before its first byte, and goes after its last one.
* A run with values that are not sealed has a hot writer. The flag moves in the transaction that stores the values, and
  back only while the writer is at the position that was sealed.
* Bytes of an object are used only if they have the checksum that Postgres knows.
* Without a bucket runs wait; nothing else does.
"""
