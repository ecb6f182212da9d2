"""A request's body on its way to an app: what waits, what could be sent again, how it is framed; pure."""

from __future__ import annotations

from typing import Final

from router.chunked import LAST_CHUNK, encode_chunk

#: A body up to this size is kept until the answer begins, so that an idempotent request can be repeated.
MAX_REPLAY_BYTES: Final = 64 * 1024


class Outgoing:
    """Payload between a client and an app. `is_complete` once the client has sent all of it."""

    __slots__ = ("_is_chunked", "_pending", "_replay", "_sent", "is_complete", "received")

    def __init__(self, *, is_chunked: bool) -> None:
        self._is_chunked = is_chunked
        self._pending: list[bytes] = []
        self._replay: list[bytes] | None = None
        self._sent = 0
        self.is_complete = False
        self.received = 0

    def receive(self, data: bytes, done: bool) -> None:
        """Count payload from the client."""
        self.received += len(data)
        if done:
            self.is_complete = True

    def wait(self, data: bytes) -> None:
        """Keep payload until there is an app."""
        if data:
            self._pending.append(data)

    def waiting(self) -> bytes:
        """Everything that waits."""
        return b"".join(self._pending)

    @property
    def is_sent(self) -> bool:
        return self.is_complete and not self._pending

    def send_waiting(self) -> bytes:
        """What waited, in its framing, for an app that is there now."""
        data, self._pending = self.waiting(), []
        return self.send(data, self.is_complete)

    def send(self, data: bytes, done: bool) -> bytes:
        """Payload in its framing; remembered while it may have to be sent again."""
        self._sent += len(data)
        if self._replay is not None and data:
            if self._sent > MAX_REPLAY_BYTES:
                self._replay = None
            else:
                self._replay.append(data)
        if not self._is_chunked:
            return data
        chunk = encode_chunk(data) if data else b""
        return chunk + LAST_CHUNK if done else chunk

    def keep_for_replay(self) -> None:
        """Remember the payload from its first byte on, while it is small."""
        self._replay = []

    @property
    def can_replay(self) -> bool:
        """Whether every byte is still here."""
        return self._replay is not None or self._sent == 0

    def rewind(self) -> None:
        """Go back to the first byte; only when `can_replay`."""
        if self._sent and self._replay is not None:
            self._pending = self._replay + self._pending
            self._replay = []
            self._sent = 0

    def forget(self) -> None:
        """The answer has begun or the request has ended: nothing is sent again."""
        self._replay = None

    def drop(self) -> None:
        """The request has ended: nothing waits any more."""
        self._pending = []
        self._replay = None
