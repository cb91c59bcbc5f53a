"""Asks the gateway how clients of MLflow know the experiment of a job."""

import http.client
import json
import os
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from runstream._channel.authorized import CA_VARIABLE
from runstream._channel.threads import in_thread

ANSWER_SECONDS: Final = 5.0
"""A job begins without the answer then: its variables lead to the same experiment by its name."""
MOST_BYTES: Final = 8 << 20


@dataclass(frozen=True)
class TrackedExperiment:
    """An experiment as clients of MLflow know it."""

    experiment_id: str
    name: str


async def find_experiment(url: str, name: str, secret: str) -> TrackedExperiment | None:
    """Returns an experiment by what the run history calls it; None if the gateway does not say.

    `url` is where the gateway serves the workspace; `secret` is shown there and, since no redirection is followed,
    nowhere else.
    """
    return await in_thread(_ask, url, name, secret)


def _ask(url: str, name: str, secret: str) -> TrackedExperiment | None:
    parts = urlsplit(url)
    query = urlencode({"experiment_name": name})
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    connection = _connection(parts.scheme, parts.netloc)
    try:
        connection.request("GET", f"{parts.path}/api/2.0/mlflow/experiments/get-by-name?{query}", headers=headers)
        found = json.loads(connection.getresponse().read(MOST_BYTES))["experiment"]
        return TrackedExperiment(str(found["experiment_id"]), str(found["name"]))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def _connection(scheme: str, place: str) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(place, timeout=ANSWER_SECONDS)
    trust = ssl.create_default_context(cafile=os.environ.get(CA_VARIABLE) or None)
    return http.client.HTTPSConnection(place, timeout=ANSWER_SECONDS, context=trust)
