"""The limits of every field of the contract, in one table, and the checks that hold requests to them."""

import re
import uuid
from collections.abc import Collection, Mapping
from datetime import timedelta

from runstream_server.field_checks import FieldChecks

HOST = 255
HOLDER = 255
MACHINE_TYPE = 255
CLUSTER = 255
REASON = 300
DECLINE_REASON = 3_000
DESCRIPTION = 5_000
SCRIPT = 1_024
BACKEND = 64
SHM_SIZE = 16
REFERENCE = 1_000
DISPLAY_VERSION = 255
PLACE = 1_024
ERROR_CODE = 256
"""Characters of a text."""

COMMAND_BYTES = 64 * 1024
ARGUMENTS_BYTES = 256 * 1024
CONTAINER_ARGUMENTS_BYTES = 64 * 1024
VARIABLES_BYTES = 64 * 1024
DETAILS_BYTES = 256 * 1024
CONDA_BYTES = 256 * 1024
DOCKERFILE_BYTES = 256 * 1024
POD_TEMPLATE_BYTES = 64 * 1024
"""Bytes of a text, or of all texts of a field together, in UTF-8."""

ARGUMENTS = 1_000
VARIABLES = 1_000
DIRECTORIES = 100
CONTAINER_ARGUMENTS = 100
LABELS = 100
RESOURCES = 20
NODE_LABELS = 50
HELD_JOBS = 10_000
"""How many of a thing there may be."""

LABEL = 255
"""Characters of the key and the value of a label."""

SLOTS = 10_000
GPUS = 1_000
NODES = 1_000
PROCESSES = 10_000
PARAMETER_SERVERS = 1_000
ATTEMPTS = 100
POOL_NODES = 100_000
PRIORITY = 1_000
"""The greatest number."""

ERROR_TEXT = 100_000
"""Where text of an error that is too long is cut before the run history cuts it with a mark."""

NO_GRACE = timedelta(0)
MOST_GRACE = timedelta(hours=1)
DEFAULT_GRACE = timedelta(seconds=30)
LEAST_LOST_AFTER = timedelta(minutes=1)
MOST_LOST_AFTER = timedelta(days=30)
MOST_KEEP_FINISHED = timedelta(days=30)

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?")
_TARGET_ID = re.compile(r"[a-z][a-z0-9\-]{0,61}[a-z0-9]")
_ENVIRONMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,254}")
_DISPLAY_NAME = re.compile(r"[\w\-./ ]{1,255}")
_RESERVED = ("microsoft", "azureml")


class Checks(FieldChecks):
    """What fields of jobs are held to."""

    def sized(self, field: str, text: str, limit: int) -> str:
        """A text that may be empty, of up to so many bytes."""
        self.size(field, [text], limit)
        return self.storable(field, text)

    def size(self, field: str, texts: Collection[str], limit: int) -> None:
        """Texts that together take up to so many bytes."""
        size = sum(len(text.encode()) for text in texts)
        if size > limit:
            self.fail(field, f"up to {limit} bytes{' together' if len(texts) > 1 else ''}; got {size}")

    def number(self, field: str, number: int, least: int, most: int) -> int:
        """A number within limits, both included."""
        if not least <= number <= most:
            self.fail(field, f"expected {least} to {most}; got {number}")
        return number

    def count(self, field: str, count: int, limit: int) -> None:
        """How many things there are."""
        if count > limit:
            self.fail(field, f"up to {limit}; got {count}")

    def duration(self, field: str, duration: timedelta, least: timedelta, most: timedelta) -> timedelta:
        """A duration within limits, both included."""
        if not least <= duration <= most:
            limits = f"{least.total_seconds():g} s to {most.total_seconds():g} s"
            self.fail(field, f"expected {limits}; got {duration.total_seconds():g} s")
        return duration

    def labels(self, field: str, labels: Mapping[str, str], limit: int = LABELS) -> Mapping[str, str]:
        """Up to so many labels."""
        self.count(field, len(labels), limit)
        for key, value in labels.items():
            self.filled(f"{field}[{key[:80]!r}]", key, LABEL)
            self.text(f"{field}[{key[:80]!r}]", value, LABEL)
        return dict(labels)

    def variables(self, field: str, variables: Mapping[str, str]) -> None:
        """Environment variables."""
        self.count(field, len(variables), VARIABLES)
        self.size(field, [*variables, *variables.values()], VARIABLES_BYTES)
        for key, value in variables.items():
            if not key or "=" in key:
                self.fail(f"{field}[{key[:80]!r}]", "a variable has a name, without `=`")
            self.storable(f"{field}[{key[:80]!r}]", key + value)

    def request_id(self, field: str, text: str) -> uuid.UUID:
        """The id that makes a retry safe."""
        try:
            return uuid.UUID(text)
        except ValueError:
            example = "1b4e28ba-2fa1-4d3b-9c3a-0a1f6a7e5b11"
            self.fail(field, f"required: a UUID such as {example}; got {text[:80]!r}")
            return uuid.UUID(int=0)

    def target_id(self, field: str, text: str) -> str:
        """The `{compute_target}` part of the name of a new target."""
        if not _TARGET_ID.fullmatch(text) or text == "local":
            self.fail(
                field,
                "expected 2 to 63 lower-case letters, digits and -, the first a letter, the last not -; not `local`;"
                f" got {text[:80]!r}",
            )
        return text

    def namespace(self, field: str, text: str) -> str:
        """The name of a namespace of a cluster."""
        if not _NAMESPACE.fullmatch(text):
            self.fail(
                field,
                f"required: 1 to 63 lower-case letters, digits and -, the first and the last not -; got {text[:80]!r}",
            )
        return text

    def environment_id(self, field: str, text: str) -> str:
        """The `{environment}` part of the name of an environment."""
        if not _ENVIRONMENT_ID.fullmatch(text):
            self.fail(
                field,
                f"expected 1 to 255 letters, digits, -, _ and ., the first a letter or a digit; got {text[:80]!r}",
            )
        if text.lower().startswith(_RESERVED):
            self.fail(field, f"names that begin with Microsoft or AzureML are reserved; got {text[:80]!r}")
        return text

    def display_name(self, field: str, text: str) -> str:
        """The name that people gave an environment."""
        if not _DISPLAY_NAME.fullmatch(text):
            self.fail(field, f"expected 1 to 255 letters, digits, -, _, ., / and spaces; got {text[:80]!r}")
        return text
