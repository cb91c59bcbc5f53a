"""Names and labels of what is made in a cluster: they follow from run and attempt, so making it again finds it."""

import hashlib
import re

from runstream_server.names import RunName

MANAGED_BY = "app.kubernetes.io/managed-by"
INSTALLATION = "runstream.io/installation"
JOB = "runstream.io/job"
WORKSPACE = "runstream.io/workspace"
EXPERIMENT = "runstream.io/experiment"
RUN = "runstream.io/run"
ATTEMPT = "runstream.io/attempt"
RUN_ANNOTATION = "runstream.io/run-name"

RUNSTREAM = "runstream"

_LABEL = 63
_READABLE = 32
_DIGEST = 10
_PART = re.compile(r"[^a-z0-9]+")
_NO_LABEL = re.compile(r"[^A-Za-z0-9_.\-]")
_IS_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?")


def job_name(installation: str, run: RunName, attempt: int) -> str:
    """The name of the Job of an attempt, and of all that belongs to it.

    A DNS-1035 label of up to 48 characters: pods of several nodes get a number behind it. Other installations, runs and
    attempts have other names.
    """
    readable = _PART.sub("-", run.run.lower())[:_READABLE].strip("-")
    return "-".join(filter(None, ("rs", readable, _digest(f"{installation}/{run}"), str(attempt))))


def label_value(text: str) -> str:
    """What a label may say in place of a text: the text where possible, else what is left of it with a digest."""
    if not text or _IS_LABEL.fullmatch(text):
        return text
    readable = _NO_LABEL.sub("-", text)[: _LABEL - _DIGEST - 1].strip("-_.")
    return "-".join(filter(None, (readable, _digest(text))))


def selector(installation: str) -> dict[str, str]:
    """The labels that all objects of an installation have."""
    return {MANAGED_BY: RUNSTREAM, INSTALLATION: installation}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
