"""Password hashes: scrypt in the text form of contract, 2.1; knows no account."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets

LOG2_N, R, P = 14, 8, 1
SALT_BYTES, KEY_BYTES = 16, 32
LOG2_N_MAX, R_MAX, P_MAX = 20, 32, 16  # stored costs above these are not computed
_MEMORY_SLACK = 1024 * 1024


class Passwords:
    """Hashes at most two passwords at a time: each takes 16 MiB and some 50 ms of a core."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(2)
        self._decoy = "scrypt$14$8$1$" + _text(bytes(SALT_BYTES)) + "$" + _text(bytes(KEY_BYTES))

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def hash(self, password: str) -> str:
        salt = secrets.token_bytes(SALT_BYTES)
        async with self._turn:
            key = await asyncio.to_thread(_derive, password, salt, LOG2_N, R, P, KEY_BYTES)
        return f"scrypt${LOG2_N}${R}${P}${_text(salt)}${_text(key)}"

    async def verify(self, password: str, stored: str | None) -> bool:
        """Takes as long without a stored hash, so that time tells nobody which accounts exist."""
        parsed = _parse(stored or self._decoy)
        if parsed is None:
            return False
        log2_n, r, p, salt, key = parsed
        async with self._turn:
            made = await asyncio.to_thread(_derive, password, salt, log2_n, r, p, len(key))
        return hmac.compare_digest(made, key) and stored is not None


def _derive(password: str, salt: bytes, log2_n: int, r: int, p: int, length: int) -> bytes:
    memory = 128 * r * (2**log2_n + p) + _MEMORY_SLACK
    return hashlib.scrypt(
        password.encode(), salt=salt, n=2**log2_n, r=r, p=p, maxmem=memory, dklen=length
    )


def _parse(stored: str) -> tuple[int, int, int, bytes, bytes] | None:
    parts = stored.split("$")
    if len(parts) != 6 or parts[0] != "scrypt":
        return None
    try:
        log2_n, r, p = (int(part) for part in parts[1:4])
        salt, key = _bytes(parts[4]), _bytes(parts[5])
    except ValueError:
        return None
    if not (1 <= log2_n <= LOG2_N_MAX and 1 <= r <= R_MAX and 1 <= p <= P_MAX and key):
        return None
    return log2_n, r, p, salt, key


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
