"""One private PostgreSQL server behind all PostgreSQL stores of a fake host; a database per store."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

SERVER_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


DROP_SUBSCRIPTIONS = b"""
SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE);', subname),
       format('DROP SUBSCRIPTION %I;', subname)
  FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \\gexec
"""
DROP_SLOTS = b"""
SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;
SELECT pg_sleep(0.1) FROM pg_replication_slots LIMIT 1;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active;
"""


@dataclass
class Databases:
    """Makes databases and runs SQL in them with the real psql."""

    port: int
    made: list[str] = field(default_factory=list)

    def create(self, _store: str) -> str:
        """Name of a new empty database."""
        name = f"store_{uuid4().hex[:10]}"
        self.sql("postgres", f'CREATE DATABASE "{name}";'.encode())
        self.made.append(name)
        return name

    def sql(self, database: str, script: bytes) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) of psql, called as `postgres:connect` calls it."""
        done = subprocess.run(
            ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
             "-U", "postgres", database],
            input=script, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def dump(self, database: str) -> bytes:
        """What `postgres:export` prints."""
        done = subprocess.run(
            ["pg_dump", "-Fc", "--no-acl", "--no-owner", "-h", "127.0.0.1", "-p", str(self.port),
             "-U", "postgres", database],
            capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    def dsn(self, database: str, user: str = "postgres", password: str = "") -> str:
        """DSN of a database for a driver."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def clean(self) -> None:
        """Drop all databases and roles that were made."""
        for name in self.made:
            self.sql(name, DROP_SUBSCRIPTIONS)
        self.sql("postgres", DROP_SLOTS)
        for name in self.made:
            self.sql("postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE);'.encode())
        self.made.clear()
        drop = (
            "SELECT format('DROP ROLE %I;', rolname) FROM pg_roles"
            " WHERE rolname !~ '^pg_' AND rolname <> 'postgres' \\gexec\n"
        )
        self.sql("postgres", drop.encode())


def server_settings(settings: dict[str, str], probe: str) -> str:
    """The probe's answer with the settings of the store instead of those of the shared server."""
    import json

    def swap(match: re.Match[str]) -> str:
        row = json.loads(match[2])
        if "settings" in row:
            row["settings"] = {name: json.loads(value) for name, value in settings.items()}
        return match[1] + json.dumps(row)

    return re.sub(r"^(strangler-probe:)(.*)$", swap, probe, flags=re.MULTILINE)


@contextmanager
def private_server() -> Iterator[Databases]:
    """A server on a free port with trust on loopback; stopped and removed afterwards."""
    programs = SERVER_PROGRAMS[0]
    folder = Path(tempfile.mkdtemp(prefix="dokku-pg-", dir="/tmp"))
    prefix: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        prefix = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    run = {"check": True, "capture_output": True, "timeout": 60, "cwd": folder}
    subprocess.run(
        [*prefix, str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust",
         "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"], **run,
    )  # fmt: skip
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        " -c wal_level=logical -c max_connections=100 -c shared_buffers=32MB"
        " -c wal_retrieve_retry_interval=100ms"
        " -c max_replication_slots=30 -c max_wal_senders=30 -c max_worker_processes=40"
        " -c max_logical_replication_workers=30"
    )
    control = [*prefix, str(programs / "pg_ctl"), "-D", str(data)]
    subprocess.run([*control, "-w", "-l", str(folder / "log"), "-o", options, "start"], **run)
    try:
        yield Databases(port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run)
        shutil.rmtree(folder, ignore_errors=True)
