"""A whole backend on one machine: Postgres and an S3 server as child processes of ours, supervised.

Invariants:
- No child outlives this process, however it ends. Where the system cannot promise that, the next start cleans up.
- A child that dies is started again, after a growing pause, on the same address: its users only see a disturbance.
- One process at a time works on a folder.
"""
