"""Offline mode: what a script asks of the services is written to a journal, and carried out later by `runstream sync`.

`OfflineConnection` stands for the services while the script runs: it notes what changes something and refuses what
reads. `Replay` does what was noted, in the order of time, as often as it takes.
"""
