"""The uplink: a process beside the training that carries the spools of a group to the services.

One process per group (see `runstream._spool.places`), started by the first writer, found again by later ones through
the lock, on its own feet from then on: neither the end of the script nor Ctrl-C ends it. It ends by itself when every
spool is carried up to its end, or nothing was logged for long; killed at any moment it loses and doubles nothing.
"""
