"""A private Redis, in memory only: it is a cache and may be wiped at any time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from migrate.stack.accounts import give_to
from migrate.stack.env_file import write_env_file, write_private
from migrate.stack.process import ProcessSpec
from migrate.stack.programs import ServerKind
from migrate.stack.servers.server import HOST, ServerSite

PROBE_SECONDS = 1.0

SETTINGS = """\
bind {host}
port {port}
requirepass {password}
dir {home}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
databases 16
"""


class RedisServer:
    """redis-server in the foreground, with a password, on loopback only."""

    kind: ServerKind = "redis"

    def __init__(self, site: ServerSite, program: Path) -> None:
        self._site = site
        self._program = program

    @property
    def url(self) -> str:
        return f"redis://:{quote(self._site.password)}@{HOST}:{self._site.port}/0"

    async def prepare(self) -> None:
        write_env_file(self._site.env_file, {"HOME": str(self._site.home)})
        settings = SETTINGS.format(
            host=HOST, port=self._site.port, password=self._site.password, home=self._site.home
        )
        write_private(self._settings, settings)
        give_to(self._settings, self._site.account)

    @property
    def _settings(self) -> Path:
        return self._site.home / "redis.conf"

    def processes(self) -> tuple[ProcessSpec, ...]:
        return (
            ProcessSpec(
                name=self.kind,
                argv=(str(self._program), str(self._settings)),
                cwd=str(self._site.home),
                env_file=str(self._site.env_file),
                log_file=str(self._site.log_file),
                account=self._site.account,
            ),
        )

    async def is_ready(self) -> bool:
        command = f"AUTH {self._site.password}\r\nPING\r\n".encode()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, self._site.port)
                try:
                    writer.write(command)
                    return await reader.readexactly(12) == b"+OK\r\n+PONG\r\n"
                finally:
                    writer.close()
                    with suppress(ConnectionError):
                        await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
