"""What a real TensorBoard answers."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any


def ask(url: str, path: str, **parameters: str) -> Any:
    """What it answers, as JSON; None: nothing, or that there is no such thing."""
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}data/{path}?{query}") as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        error.close()
    except urllib.error.URLError:
        """Nobody is there."""
    return None


def curve(url: str, run: str, tag: str) -> Sequence[tuple[int, float]]:
    """The steps and values of a curve."""
    points = ask(url, "plugin/scalars/scalars", run=run, tag=tag) or []
    return [(step, value) for _, step, value in points]
