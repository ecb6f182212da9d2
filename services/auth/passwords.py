"""Password hashes: scrypt in the text form of the contract (2.1); knows no account."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

#: Cost of new hashes (contract, 2.1): about 16 MiB and 50 ms of a core.
LOG2_N, R, P = 14, 8, 1
SALT_BYTES, KEY_BYTES = 16, 32
#: Stored costs above these are not computed: a row must not be able to stop the process.
LOG2_N_MAX, R_MAX, P_MAX = 20, 32, 16
#: Hashes at the same time: more would take all cores from the other requests.
AT_ONCE = 2
_MEMORY_SLACK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scrypt:
    """A parsed hash."""

    log2_n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Scrypt | None:
        """`scrypt$<log2 n>$<r>$<p>$<salt>$<key>`, base64url without padding; None for anything else."""
        parts = text.split("$")
        if len(parts) != 6 or parts[0] != "scrypt":
            return None
        try:
            log2_n, r, p = (int(part) for part in parts[1:4])
            salt, key = _bytes(parts[4]), _bytes(parts[5])
        except ValueError:
            return None
        if not (1 <= log2_n <= LOG2_N_MAX and 1 <= r <= R_MAX and 1 <= p <= P_MAX and key):
            return None
        return cls(log2_n, r, p, salt, key)

    def derive(self, password: str) -> bytes:
        memory = 128 * self.r * (2**self.log2_n + self.p) + _MEMORY_SLACK_BYTES
        return hashlib.scrypt(
            password.encode(),
            salt=self.salt,
            n=2**self.log2_n,
            r=self.r,
            p=self.p,
            maxmem=memory,
            dklen=len(self.key),
        )

    def text(self) -> str:
        return f"scrypt${self.log2_n}${self.r}${self.p}${_text(self.salt)}${_text(self.key)}"


class Passwords:
    """Hashes and verifies in threads, few at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._nobodys = Scrypt(LOG2_N, R, P, bytes(SALT_BYTES), bytes(KEY_BYTES))

    async def hash(self, password: str) -> str:
        empty = Scrypt(LOG2_N, R, P, secrets.token_bytes(SALT_BYTES), bytes(KEY_BYTES))
        key = await self._derive(empty, password)
        return Scrypt(LOG2_N, R, P, empty.salt, key).text()

    async def verify(self, password: str, stored: str | None) -> bool:
        """Takes as long without a stored hash, so that time tells nobody which accounts exist."""
        parsed = Scrypt.parse(stored) if stored is not None else self._nobodys
        if parsed is None:
            return False
        made = await self._derive(parsed, password)
        return hmac.compare_digest(made, parsed.key) and stored is not None

    async def _derive(self, scrypt: Scrypt, password: str) -> bytes:
        async with self._turn:
            return await asyncio.to_thread(scrypt.derive, password)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
