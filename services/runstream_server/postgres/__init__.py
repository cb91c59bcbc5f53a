"""How services reach Postgres: a pool, migrations, and hints from commit to readers."""

from runstream_server.postgres.hints import Hints, Subscription, listening
from runstream_server.postgres.migrations import migrate
from runstream_server.postgres.pool import Connection, Postgres, open_postgres

__all__ = ["Connection", "Hints", "Postgres", "Subscription", "listening", "migrate", "open_postgres"]
