"""What is done to stored metrics in the background: small chunks are merged.

Invariants:
* Writers are never blocked: no lock of theirs is taken, and chunks are immutable, so a rewrite replaces rows that
  nobody else changes.
* Readers see the values of a series before a rewrite or after it, never none and never twice.
* The work takes a bounded share of the time of a process, and pauses in proportion to what it took.
"""
