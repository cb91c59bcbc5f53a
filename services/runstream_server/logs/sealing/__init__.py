"""Moves the text of log files into segments in the bucket, and reads it there.

Invariants:
* A byte leaves Postgres only after a segment that holds it was read back, compared and made current.
* The current segments of a file join on without gap or overlap from byte 0 to its `sealed_bytes`. None ever changes.
* A row of a segment is there before the first byte of its object, and goes after the last one.
* A file with text that is not sealed is hot. The flag moves in the transaction that stores the text, and back only
  under the lock of the row.
* Bytes of a segment are used only if they have the checksum that Postgres knows.
* Without a bucket files wait; nothing else does.
"""
