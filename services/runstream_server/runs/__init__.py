"""The run history: workspaces, experiments and runs, what ran, with which labels, and how it ended.

Invariants:
- A status is entered only if the status machine allows it, in the one statement that enters it. A terminal status never
  changes; a late call is answered with the run as it is.
- Properties are only added. A batch of runs is created as a whole or not at all.
- A request with a request id creates once, however often it is repeated.
- A watch misses no run that changed: it reads in the order of transactions, and never beyond one of this
  database that is still open.
- Values of callers reach SQL as parameters only.
"""

from pathlib import Path

from runstream_server.runs.mount import mount

MIGRATIONS = Path(__file__).with_name("migrations")

__all__ = ["MIGRATIONS", "mount"]
