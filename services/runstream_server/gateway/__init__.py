"""The gateway: HTTP for programs that do not speak gRPC. So far the REST interface of MLflow.

* It calls the other services with the token of its own caller: they decide what that one reaches. For what the gateway
  keeps itself each endpoint names the role it needs.
* What it keeps is what the other services have no place for: numbers of experiments, logged models, inputs. Runs,
  metrics and files are those that everybody else sees.
* Every answer is JSON, errors too, but for files.
"""

from pathlib import Path

from runstream_server.gateway.listener import Listener, listening
from runstream_server.gateway.mount import mount

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = ["MIGRATIONS", "Listener", "listening", "mount"]
