"""Names, passwords and tokens in addresses."""

import re
from typing import Final

_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")


def has_credentials(text: str) -> bool:
    """Whether an address in a text has a name or a password."""
    return bool(_CREDENTIALS.search(text))


def mask_credentials(text: str) -> str:
    """A text with stars in the place of names and passwords in its addresses."""
    return _CREDENTIALS.sub("***@", text)
