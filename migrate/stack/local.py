"""The local stack as a whole: brings it up, repairs it, takes it down; knows no command line."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from migrate.stack.choices import Choices, chosen_services
from migrate.stack.credentials import Credentials, load_or_generate
from migrate.stack.env_file import write_env_file
from migrate.stack.environment import StackFacts, command_environment
from migrate.stack.errors import StackError
from migrate.stack.install import ensure_programs
from migrate.stack.layout import REPOSITORY, Layout
from migrate.stack.lock import exclusive
from migrate.stack.process import ProcessSpec, ProcessState
from migrate.stack.programs import SERVER_KINDS, ServerKind, find_programs
from migrate.stack.readiness import failure, wait_until_ready
from migrate.stack.schema import prepare_databases
from migrate.stack.servers.choice import contained_kinds, given_urls
from migrate.stack.servers.containers import engine_runs
from migrate.stack.servers.private import PrivateServers
from migrate.stack.state import ServerSource, StackState, assign_ports, read_state, write_state
from migrate.stack.supervisor.client import SupervisorClient
from migrate.stack.topology import LAYER, STAND_INS, AppProcess, find_processes
from migrate.stack.vendors import SMTP, process_environment
from shared.manifest import Manifest

INSTALL_SECONDS = 900.0
# The drain of a web process is bounded by the contract (streams may run 50 s after SIGTERM).
STOP_SECONDS = 20.0

# What people expect of a development server; another one is taken when it is busy.
DEFAULT_PUBLIC_PORT = 8080
# What starts before (0) or after (2) everything else.
_TURN = {"stand_ins": 0, "router": 2}

Report = Callable[[str], None]


def _silent(_line: str) -> None:
    return None


class LocalStack:
    """Servers and processes below one directory. `operator` is the environment of the command.

    `report` gets a line per step. With `owner_pid` everything ends when that process does.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        manifest_path: Path,
        *,
        operator: Mapping[str, str] | None = None,
        owner_pid: int | None = None,
        durable: bool = True,
        report: Report = _silent,
    ) -> None:
        self.layout = Layout(directory.resolve())
        self.supervisor = SupervisorClient(self.layout.root)
        self._manifest = manifest
        self._manifest_path = manifest_path.resolve()
        self._operator = dict(os.environ if operator is None else operator)
        self._owner_pid = owner_pid
        self._report = report
        self._choices = Choices()
        self._given = given_urls(self._operator)
        private = [kind for kind in SERVER_KINDS if kind not in self._given]
        self.servers = PrivateServers(
            self.layout.root,
            private,
            durable=durable,
            owner_pid=owner_pid,
            contained=[k for k, source in self.state.servers.items() if source == "container"],
        )

    # ---- what there is ------------------------------------------------------------------------

    @property
    def state(self) -> StackState:
        return read_state(self.layout.state)

    @cached_property
    def credentials(self) -> Credentials:
        return load_or_generate(self.layout.credentials)

    @property
    def app_processes(self) -> tuple[AppProcess, ...]:
        """Our own processes, in the order of starting."""
        state = self._choices.over(self.state)
        services = state.only or self._manifest.services
        return find_processes(REPOSITORY, services, stand_ins=state.stand_ins)

    def replace_vendors(self, *, stand_ins: bool) -> None:
        """Point every app at local stand-ins of the vendors' clouds, from the next `up` on; or not.

        An app that runs already keeps what it was told until it is started again.
        """
        self._choices = replace(self._choices, stand_ins=stand_ins)

    def choose(self, services: Collection[str]) -> None:
        """Let only these services run beside monolith and router, from the next `up` on.

        `all` means every one. What runs already is left alone. Raises StackError for a stranger.
        """
        known = tuple(self._manifest.services)
        self._choices = replace(self._choices, only=chosen_services(known, services))

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of all processes of a complete stack."""
        is_private = "rabbitmq" in set(self.servers.kinds) - self.servers.contained
        extra = ("epmd",) if is_private else ()
        return (*extra, *self.servers.kinds, *(process.name for process in self.app_processes))

    async def processes(self) -> tuple[ProcessState, ...]:
        """Every process that was started since the supervisor did, with exit codes."""
        return await self.supervisor.processes()

    async def missing(self) -> tuple[str, ...]:
        """Names of wanted processes that do not run."""
        running = {state.name for state in await self.processes() if state.is_running}
        return tuple(name for name in self.wanted if name not in running)

    # ---- up -----------------------------------------------------------------------------------

    async def up(self) -> bool:
        """Start what is missing and wait until it serves; False when nothing had to be done."""
        async with exclusive(self.layout.lock, INSTALL_SECONDS):
            remembered = self.state
            if (chosen := self._choices.over(remembered)) != remembered:
                write_state(self.layout.state, chosen)
            if self.state.started_at and not await self.missing():
                return False
            started = time.time()
            await asyncio.to_thread(self._ensure_programs)
            await self.supervisor.ensure(self._owner_pid)
            facts = await self._start_servers()
            await self._start_apps(facts)
            first = self.state.started_at == 0.0
            took = time.time() - started
            if first:
                write_state(
                    self.layout.state,
                    self.state.model_copy(
                        update={"started_at": started, "setup_seconds": round(took, 1)}
                    ),
                )
            self._report(f"the stack is up after {took:.1f} s")
            return True

    def _ensure_programs(self) -> None:
        """Containers for what is missing where an engine runs, else installation."""
        programs, kinds = find_programs(), self.servers.kinds
        self.servers.contained = contained_kinds(self._operator, programs, kinds, engine_runs)
        if set(programs.missing) & set(kinds) - self.servers.contained:
            ensure_programs()

    async def _start_servers(self) -> StackFacts:
        """PostgreSQL first; its databases are prepared while RabbitMQ, the slowest, boots."""
        others = asyncio.gather(
            *(self._start_server(kind) for kind in self.servers.kinds if kind != "postgres")
        )
        try:
            if "postgres" in self.servers.kinds:
                await self._start_server("postgres")
            facts = await self._facts()
            await prepare_databases(facts, self._manifest, self._report)
        finally:
            await others
        facts = await self._facts()
        write_env_file(self.layout.command_environment, command_environment(facts))
        return facts

    async def _start_server(self, kind: ServerKind) -> None:
        started = time.monotonic()
        await self.servers.start(kind)
        self._report(f"{kind} serves after {time.monotonic() - started:.1f} s")

    async def _facts(self) -> StackFacts:
        running = {state.name for state in await self.processes() if state.is_running}
        wanted = {process.name: 1 for process in self.app_processes if process.listens}
        extra = {SMTP: 1} if STAND_INS in wanted else {}
        old = self.state
        ports = assign_ports(
            self._preferred_ports() | old.ports,
            {**wanted, **extra, "router-admin": self._manifest.router.workers},
            running,
        )
        sources: dict[ServerKind, ServerSource] = {
            kind: "url"
            if kind in self._given
            else "container"
            if kind in self.servers.contained
            else "private"
            for kind in SERVER_KINDS
        }
        write_state(self.layout.state, old.model_copy(update={"ports": ports, "servers": sources}))
        return self._facts_of(ports)

    def _preferred_ports(self) -> dict[str, int]:
        """STACK_PUBLIC_PORT chooses the public port of a new stack; 0 lets any free one be taken."""
        chosen = self._operator.get("STACK_PUBLIC_PORT") or str(DEFAULT_PUBLIC_PORT)
        if not chosen.isdigit() or int(chosen) > 65535:
            raise StackError(
                f"STACK_PUBLIC_PORT is {chosen!r}, which is no port", hint="unset STACK_PUBLIC_PORT"
            )
        return {"router": int(chosen)}

    def _facts_of(self, ports: dict[str, int]) -> StackFacts:
        urls = {kind: self._given.get(kind) or self.servers.url(kind) for kind in SERVER_KINDS}
        project = self._manifest.project.name
        return StackFacts(
            layout=self.layout,
            manifest_path=self._manifest_path,
            ports=ports,
            postgres_url=urls["postgres"],
            redis_url=urls["redis"],
            rabbitmq_url=urls["rabbitmq"],
            project=project,
            moving=tuple(service.name for service in self._manifest.moving_services()),
            credentials=self.credentials,
            operator=self._operator,
            router_workers=self._manifest.router.workers,
        )

    @property
    def facts(self) -> StackFacts:
        """Addresses and secrets of a stack that was started before."""
        return self._facts_of(self.state.ports)

    # ---- our own processes --------------------------------------------------------------------

    async def _start_apps(self, facts: StackFacts) -> None:
        """Stand-ins, then apps and workers, all at once; the router when they serve."""
        groups: dict[int, list[AppProcess]] = {}
        for process in self.app_processes:
            groups.setdefault(_TURN.get(process.kind, 1), []).append(process)
        for _turn, group in sorted(groups.items()):
            await asyncio.gather(*(self.start(process.name, facts) for process in group))
        if broken := await self.missing():
            raise failure(broken[0], "does not run", self.layout.log_file(broken[0]))

    async def start(self, name: str, facts: StackFacts | None = None) -> None:
        """Start one process of ours and wait until it is ready; a running one is only waited for."""
        known = facts or self.facts
        started = time.monotonic()
        process = await self.launch(name, known)
        if process.listens:
            ports = known.admin_ports if process.kind == "router" else [known.ports[name]]
            for port in ports:
                await wait_until_ready(self.supervisor, name, port, self.layout.log_file(name))
            self._report(f"{name} is ready after {time.monotonic() - started:.1f} s")

    async def launch(self, name: str, facts: StackFacts | None = None) -> AppProcess:
        """Start one process of ours without waiting for it."""
        known = facts or self.facts
        process = next(p for p in self.app_processes if p.name == name)
        env_file = self.layout.env_file(name)
        write_env_file(env_file, process_environment(process, known))
        self.layout.data(process.domain).mkdir(parents=True, exist_ok=True)
        await self.supervisor.start(
            ProcessSpec(
                name=name,
                argv=(sys.executable, "-m", process.module),
                cwd=str(REPOSITORY),
                env_file=str(env_file),
                log_file=str(self.layout.log_file(name)),
                inherits=True,
                layer=LAYER[process.kind],
                stop_seconds=STOP_SECONDS,
            )
        )
        return process

    # ---- down ---------------------------------------------------------------------------------

    async def down(self, *, wipe: bool = False) -> bool:
        """Stop everything; with `wipe` delete all data too. False when nothing ran."""
        async with exclusive(self.layout.lock, INSTALL_SECONDS):
            ran = self.supervisor.is_alive() or self.supervisor.read_record() is not None
            await self.servers.close()
            if wipe:
                await asyncio.to_thread(self._wipe)
            return ran

    def _wipe(self) -> None:
        self.servers.wipe()
        for folder in ("env", "logs", "data"):
            shutil.rmtree(self.layout.root / folder, ignore_errors=True)
        for file in (self.layout.state, self.layout.credentials, self.layout.demo_report):
            file.unlink(missing_ok=True)


__all__ = ["LocalStack", "StackError"]
