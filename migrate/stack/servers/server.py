"""What a private server is: where it lives, how it is run, and how one knows that it serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from migrate.stack.process import ProcessSpec
from migrate.stack.programs import ServerKind

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ServerSite:
    """Where one private server lives. `home` belongs to `account`; `password` protects its loopback port.

    `extra_port` is the second port of those that need one (Erlang's distribution). A server that is not
    `durable` trades its disk flushes for speed: for tests, whose data nobody needs tomorrow.
    """

    home: Path
    port: int
    password: str
    account: str | None
    log_file: Path
    env_file: Path
    durable: bool
    extra_port: int = 0


class Server(Protocol):
    """One server kind at one site."""

    @property
    def kind(self) -> ServerKind: ...

    @property
    def url(self) -> str:
        """The address for a superuser, with the password in it."""
        ...

    async def prepare(self) -> None:
        """Create data directory, configuration and env file; safe to call again."""
        ...

    def processes(self) -> tuple[ProcessSpec, ...]:
        """What to run, in order; the last one is the server itself."""
        ...

    async def is_ready(self) -> bool:
        """Whether a client is served now; answers within a second."""
        ...
