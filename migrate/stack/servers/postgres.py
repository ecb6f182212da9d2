"""A private PostgreSQL cluster with logical replication; knows nothing of what is stored in it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import asyncpg

from migrate.stack.accounts import give_to
from migrate.stack.env_file import write_env_file, write_private
from migrate.stack.errors import StackError
from migrate.stack.process import ProcessSpec
from migrate.stack.programs import ServerKind
from migrate.stack.servers.server import HOST, ServerSite

SUPERUSER = "postgres"
INITDB_SECONDS = 60.0
PROBE_SECONDS = 1.0

# Slots, senders and workers for seven services split at once, each with following and reverse following
# and the table-copy workers beside them.
SETTINGS = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 500
shared_buffers = 128MB
wal_level = logical
max_wal_senders = 40
max_replication_slots = 40
max_logical_replication_workers = 32
max_sync_workers_per_subscription = 4
max_worker_processes = 48
max_wal_size = 2GB
wal_retrieve_retry_interval = 500ms
fsync = {durable}
synchronous_commit = on
full_page_writes = {durable}
log_line_prefix = '%m [%p] %q%a '
password_encryption = scram-sha-256
shared_preload_libraries = '{preload}'
"""
ACCESS = (
    "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
)


class PostgresServer:
    """A cluster in `site.home`, its superuser `postgres` with the site's password, on loopback only."""

    kind: ServerKind = "postgres"

    def __init__(self, site: ServerSite, programs: Path) -> None:
        self._site = site
        self._programs = programs

    @property
    def _data(self) -> Path:
        return self._site.home / "data"

    @property
    def url(self) -> str:
        return f"postgresql://{SUPERUSER}:{quote(self._site.password)}@{HOST}:{self._site.port}/postgres"

    async def prepare(self) -> None:
        """Create the cluster once; write its settings every time, because the port may have changed."""
        write_env_file(self._site.env_file, {"HOME": str(self._site.home), "LC_ALL": "C.UTF-8"})
        if not (self._data / "PG_VERSION").exists():
            await self._create_cluster()
        durable = "on" if self._site.durable else "off"
        settings = SETTINGS.format(
            host=HOST, port=self._site.port, durable=durable, preload=self._preload()
        )
        for name, text in (("postgresql.conf", settings), ("pg_hba.conf", ACCESS)):
            write_private(self._data / name, text)
            give_to(self._data / name, self._site.account)

    async def _create_cluster(self) -> None:
        password_file = self._site.home / "initdb-password"
        write_private(password_file, self._site.password)
        give_to(password_file, self._site.account)
        draft = (
            self._site.home / "data.new"
        )  # a cut-off initdb leaves a half cluster: never the real name
        try:
            await self._initdb(draft, password_file)
            draft.rename(self._data)
        finally:
            password_file.unlink()

    async def _initdb(self, target: Path, password_file: Path) -> None:
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        arguments = [str(self._programs / "initdb"), "-D", str(target), "-U", SUPERUSER]
        arguments += ["-E", "UTF8", "--locale=C.UTF-8", "-A", "scram-sha-256"]
        arguments += ["--pwfile", str(password_file)]
        arguments += [] if self._site.durable else ["--no-sync"]
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=self._site.home,
            env={"PATH": os.defpath, "HOME": str(self._site.home), "LC_ALL": "C.UTF-8"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            user=self._site.account,
            group=self._site.account,
            extra_groups=[] if self._site.account else None,
        )
        output, _ = await asyncio.wait_for(process.communicate(), INITDB_SECONDS)
        if process.returncode != 0:
            raise StackError(f"initdb failed in {target}:\n{output.decode(errors='replace')}")

    def _preload(self) -> str:
        """pg_stat_statements where it is installed: `migrate db inspect` reads it."""
        library = "pg_stat_statements"
        roots = (self._programs.parent / "lib", self._programs.parent / "lib" / "postgresql")
        return library if any((root / f"{library}.so").exists() for root in roots) else ""

    def processes(self) -> tuple[ProcessSpec, ...]:
        return (
            ProcessSpec(
                name=self.kind,
                argv=(str(self._programs / "postgres"), "-D", str(self._data)),
                cwd=str(self._site.home),
                env_file=str(self._site.env_file),
                log_file=str(self._site.log_file),
                account=self._site.account,
                stop_signal="SIGINT",  # fast shutdown: SIGTERM would wait for every client to leave
                stop_seconds=30.0,
            ),
        )

    async def is_ready(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                connection = await asyncpg.connect(self.url, timeout=PROBE_SECONDS)
                await connection.close(timeout=PROBE_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        return True
