"""Tokens: places in a listing or a stream that the caller keeps, and can neither change nor use elsewhere."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

_MAC_BYTES = 16
_MAX_CHARACTERS = 65_536


@dataclass(frozen=True)
class Signer:
    """Makes and opens tokens."""

    key: bytes = field(repr=False)
    """The same in all replicas. Empty: who reads this can make tokens as well, so what they say is to be checked."""

    def seal(self, binding: Sequence[object], content: Sequence[object]) -> str:
        """A token with `content`, which only the same binding opens. Both are of what JSON can say."""
        payload = _serialized(content)
        return base64.urlsafe_b64encode(self._mac(binding, payload) + payload).decode().rstrip("=")

    def open(self, binding: Sequence[object], token: str) -> Sequence[object] | None:
        """The content of a token; None if it was not made with the same key and binding."""
        if len(token) > _MAX_CHARACTERS:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            is_ours = hmac.compare_digest(mac, self._mac(binding, payload))
            content = json.loads(payload) if is_ours else None
        except (ValueError, RecursionError):
            return None
        return content if isinstance(content, list) else None

    def _mac(self, binding: Sequence[object], payload: bytes) -> bytes:
        bound = hashlib.sha256(_serialized(binding)).digest()
        return hmac.digest(self.key, bound + payload, "sha256")[:_MAC_BYTES]


def _serialized(content: Sequence[object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
