"""A set of private servers in one directory, with an interface for faults: stop, kill, freeze, start again."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from migrate.stack.accounts import remove_home, remove_stale_homes, server_account, server_home
from migrate.stack.env_file import write_private
from migrate.stack.errors import ProcessFailedError, ProgramMissingError, StackError
from migrate.stack.logs import tail
from migrate.stack.ports import free_port, is_free
from migrate.stack.programs import SERVER_KINDS, Programs, ServerKind, find_programs
from migrate.stack.servers.containers import container_server, remove_containers
from migrate.stack.servers.postgres import PostgresServer
from migrate.stack.servers.rabbitmq import RabbitServer
from migrate.stack.servers.redis import RedisServer
from migrate.stack.servers.server import Server, ServerSite
from migrate.stack.supervisor.client import SupervisorClient

# RabbitMQ on a cold, busy two-core machine needs about 15 s; initdb about 3 s.
READY_SECONDS = 90.0
POLL_SECONDS = 0.05
# How long a server's own port may stay taken after its death.
PORT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Addresses with superuser rights; None for a kind that is not part of the set."""

    postgres: str | None = None
    redis: str | None = None
    rabbitmq: str | None = None


class PrivateServers:
    """PostgreSQL, Redis and RabbitMQ (or some of them) below `directory`, on ports of their own.

    Ports and passwords are kept in the directory, so a second object for the same directory continues
    where the first one stopped. With `owner_pid` everything ends when that process does, however it ends.
    """

    def __init__(
        self,
        directory: Path,
        kinds: Iterable[ServerKind] = SERVER_KINDS,
        *,
        durable: bool = True,
        owner_pid: int | None = None,
        programs: Programs | None = None,
        contained: Collection[ServerKind] = (),
    ) -> None:
        self.directory = directory.resolve()
        self.kinds = tuple(kind for kind in SERVER_KINDS if kind in set(kinds))
        self.supervisor = SupervisorClient(self.directory)
        self._durable = durable
        self._owner_pid = owner_pid
        self._programs = programs
        self.contained = frozenset(contained)  # kinds that run in containers
        self._servers: dict[ServerKind, Server] = {}

    @property
    def urls(self) -> ServerUrls:
        """Addresses of the servers that were started or resumed by this object."""
        return ServerUrls(**{kind: server.url for kind, server in self._servers.items()})

    def url(self, kind: ServerKind) -> str:
        """Address of a server of this set, whether it runs or not."""
        return self._server(kind).url

    async def start_all(self) -> ServerUrls:
        """Start what does not run, at the same time, and wait until each serves."""
        await asyncio.gather(*(self.start(kind) for kind in self.kinds))
        return self.urls

    async def start(self, kind: ServerKind) -> None:
        """Start one server and wait until it serves; a running one is left alone."""
        await self.supervisor.ensure(self._owner_pid)
        running = {state.name for state in await self.supervisor.processes() if state.is_running}
        if kind not in running:
            await self._wait_for_port(kind)
            site = self._site(kind, check_ports=True, is_mapped="epmd" in running)
            self._servers[kind] = self._build(kind, site)
            await self._servers[kind].prepare()
        server = self._server(kind)
        for spec in server.processes():
            await self.supervisor.start(spec)
        await self._wait_until_ready(kind, server)

    async def stop(self, kind: ServerKind) -> None:
        """Stop one server as an operator would."""
        await self.supervisor.stop(kind)

    async def kill(self, kind: ServerKind) -> None:
        """kill -9 a server with all its processes; returns when it is dead. Not for containers."""
        if kind in self.contained:
            raise StackError(f"{kind} runs in a container", hint="docker compose kill")
        await self.supervisor.signal(kind, "SIGKILL")
        await self.supervisor.wait_until_ended(kind)

    async def freeze(self, kind: ServerKind) -> None:
        """Stop a server's processes where they stand: connections stay open and nobody answers."""
        await self.supervisor.signal(kind, "SIGSTOP")

    async def thaw(self, kind: ServerKind) -> None:
        await self.supervisor.signal(kind, "SIGCONT")

    async def close(self) -> None:
        """Stop everything that runs in this directory; the data stays."""
        await self.supervisor.shut_down()
        await asyncio.to_thread(remove_containers, self._compose_file, volumes=False)

    def wipe(self) -> None:
        """Delete the data of stopped servers."""
        if self.supervisor.is_alive():
            raise StackError(f"servers still run in {self.directory}", hint="stop them first")
        remove_containers(self._compose_file, volumes=True)
        for kind in SERVER_KINDS:
            remove_home(self.directory, kind)
        remove_stale_homes()
        self._sites_file.unlink(missing_ok=True)

    def rabbitmq_environment(self) -> dict[str, str]:
        """What rabbitmqctl and rabbitmq-diagnostics need to reach this node."""
        server = self._server("rabbitmq")
        if not isinstance(server, RabbitServer):
            raise TypeError(f"not a RabbitMQ server: {server!r}")
        return {"PATH": os.environ.get("PATH", os.defpath), **server.environment}

    @property
    def _sites_file(self) -> Path:
        return self.directory / "servers.json"

    def _server(self, kind: ServerKind) -> Server:
        if kind not in self._servers:
            self._servers[kind] = self._build(kind, self._site(kind, check_ports=False))
        return self._servers[kind]

    def _kept(self) -> dict[str, dict[str, str]]:
        """Ports and password of every kind that was ever started here."""
        if not self._sites_file.exists():
            return {}
        kept: dict[str, dict[str, str]] = json.loads(self._sites_file.read_text())
        return kept

    async def _wait_for_port(self, kind: ServerKind) -> None:
        """A killed server's port is free a moment after its death: its clients know no other one."""
        port = int(self._kept().get(kind, {}).get("port", 0))
        for _ in range(int(PORT_SECONDS / POLL_SECONDS)):
            if not port or is_free(port):
                return
            await asyncio.sleep(POLL_SECONDS)

    def _site(self, kind: ServerKind, *, check_ports: bool, is_mapped: bool = False) -> ServerSite:
        """The kept ports and password; a port that somebody else took meanwhile is replaced.

        `is_mapped`: our own port mapper runs, so its port is rightly taken.
        """
        known = self._kept()
        own = known.get(kind, {"password": secrets.token_urlsafe(24)})
        taken = {int(v) for site in known.values() for k, v in site.items() if k != "password"}
        for key in ("port", "extra_port"):
            port = int(own.get(key, 0))
            is_ours = key == "extra_port" and is_mapped
            if not port or (check_ports and not is_ours and not is_free(port)):
                port = free_port(frozenset(taken))
            taken.add(port)
            own[key] = str(port)
        write_private(self._sites_file, json.dumps({**known, kind: own}, indent=2))
        account = server_account(kind)
        return ServerSite(
            home=server_home(self.directory, kind, account),
            port=int(own["port"]),
            extra_port=int(own["extra_port"]),
            password=own["password"],
            account=account,
            log_file=self.directory / "logs" / f"{kind}.log",
            env_file=self.directory / "env" / f"{kind}.env",
            durable=self._durable,
        )

    @property
    def _compose_file(self) -> Path:
        return self.directory / "compose.yml"

    def _build(self, kind: ServerKind, site: ServerSite) -> Server:
        if kind in self.contained:
            return container_server(kind, site, self._compose_file)
        programs = self._programs or find_programs()
        match kind:
            case "postgres" if programs.postgres is not None:
                return PostgresServer(site, programs.postgres)
            case "redis" if programs.redis is not None:
                return RedisServer(site, programs.redis)
            case "rabbitmq" if programs.rabbitmq is not None and programs.epmd is not None:
                return RabbitServer(site, programs.rabbitmq, programs.epmd)
        raise ProgramMissingError(
            f"the programs of {kind} are not installed", hint="install them: make up"
        )

    async def _wait_until_ready(self, kind: ServerKind, server: Server) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while not await server.is_ready():
            states = {state.name: state for state in await self.supervisor.processes()}
            if not states[kind].is_running or loop.time() > deadline:
                why = (
                    "ended"
                    if not states[kind].is_running
                    else f"did not serve in {READY_SECONDS} s"
                )
                raise ProcessFailedError(
                    f"{kind} {why} (exit code {states[kind].exit_code})",
                    process=kind,
                    log_tail=tail(Path(states[kind].log_file)),
                )
            await asyncio.sleep(POLL_SECONDS)
