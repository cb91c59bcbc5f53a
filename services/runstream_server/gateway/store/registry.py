"""The words of the model registry, and what its stores have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runstream_server.postgres import Connection

NO_STAGE = "None"
STAGES = (NO_STAGE, "Staging", "Production", "Archived")

MAX_TAGS = 1_000
"""How many tags a registered model has, and how many a version."""

MAX_TAG_BYTES = 16 << 20
"""How long the values of these are together."""

MAX_ALIASES = 1_000
"""How many aliases a registered model has."""

_LOCK = "SELECT true FROM gateway.registered_model WHERE workspace = $1 AND name = $2 FOR UPDATE"

_TOUCH = """
UPDATE gateway.registered_model SET update_ms = greatest(update_ms, $3) WHERE workspace = $1 AND name = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A version of a registered model."""

    name: str
    version: int
    description: str
    create_ms: int
    update_ms: int
    stage: str

    source: str
    """As it was said at creation."""

    storage: str
    """Where the files are: what the source meant at creation."""

    run: str
    """The id of a run; empty: none was named."""

    run_link: str

    model: str
    """The id of a logged model; empty: none was named."""

    tags: Mapping[str, str]
    aliases: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A name of the registry with what belongs to it."""

    name: str
    description: str
    create_ms: int
    update_ms: int
    tags: Mapping[str, str]

    aliases: Mapping[str, int]
    """Versions by alias."""

    latest: Sequence[ModelVersion] = field(default=())
    """The latest version in each stage."""


class ModelMissing(Exception):
    """No registered model has the name."""


class VersionMissing(Exception):
    """The registered model has no such version."""


class NameInUse(Exception):
    """Another registered model has the name."""


class TooManyTags(Exception):
    """There would be more tags than `MAX_TAGS`, or longer ones than `MAX_TAG_BYTES`."""


class TooManyAliases(Exception):
    """There would be more aliases than `MAX_ALIASES`."""


async def lock_model(transaction: Connection, workspace: str, name: str) -> None:
    """Keeps others from changing a registered model and its versions until the end of a transaction.

    Raises:
        ModelMissing: There is none of that name.
    """
    if not await transaction.fetchval(_LOCK, workspace, name):
        raise ModelMissing


async def touch_model(transaction: Connection, workspace: str, name: str, at_ms: int) -> None:
    """Notes when a registered model changed."""
    await transaction.execute(_TOUCH, workspace, name, at_ms)
