"""What the services share that move what is stored from Postgres into the bucket in the background.

Invariants:
* Work takes at most its share of the time of a process.
* Who works on something has claimed it for a while, and changes nothing once the claim is lost.
* Trouble with the bucket makes sealing wait, and nothing else.
"""

from runstream_server.sealing.attempt import attempt
from runstream_server.sealing.lease import ClaimLostError, Lease
from runstream_server.sealing.loop import SealLoop
from runstream_server.sealing.lru import ByteLru
from runstream_server.sealing.pace import Pace

__all__ = ["ByteLru", "ClaimLostError", "Lease", "Pace", "SealLoop", "attempt"]
