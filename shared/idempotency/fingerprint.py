"""The key and the request hash of an idempotent request (contract, 1.9); pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from shared.errors import CallerError, Code

_KEY = re.compile(r"[\x21-\x7e]{1,255}")  # visible ASCII


def check_key(key: str) -> str:
    """The key as it stands; 400 unless it is 1 to 255 visible ASCII characters."""
    if not _KEY.fullmatch(key):
        raise CallerError(
            Code.MALFORMED_REQUEST, "Idempotency-Key must be 1 to 255 visible ASCII characters"
        )
    return key


def request_hash(method: str, path: str, body: bytes) -> str:
    """Hex SHA-256 of `METHOD\\npath\\n` and the raw body."""
    return hashlib.sha256(f"{method}\n{path}\n".encode() + body).hexdigest()


def form_digest(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """What stands in for the body of a form: the sorted lines `field name:hex SHA-256 of its bytes`."""
    lines = sorted(f"{name}:{hashlib.sha256(content).hexdigest()}" for name, content in parts)
    return "\n".join(lines).encode()
