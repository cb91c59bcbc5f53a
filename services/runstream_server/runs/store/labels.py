"""SQL about tags and properties, shared by the tables that have them."""

from runstream_server.runs.limits import LABELS_BYTES, PROPERTIES, TAGS

CHANGED_TAGS = "((tags - $4::text[]) || $3::jsonb)"
"""The tags after those of `$3` were set and the keys `$4` removed."""

CHANGED_PROPERTIES = "(properties || $3::jsonb)"
"""The properties after those of `$3` were added."""


def fits(labels: str, limit: int) -> str:
    """The condition that labels keep to their limits of number and size."""
    return (
        f"(SELECT count(*) <= {limit} FROM jsonb_object_keys({labels}))"
        f" AND octet_length({labels}::text) <= {LABELS_BYTES}"
    )


TAGS_FIT = fits(CHANGED_TAGS, TAGS)
PROPERTIES_FIT = fits(CHANGED_PROPERTIES, PROPERTIES)
