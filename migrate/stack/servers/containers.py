"""Servers in containers, where a Docker engine runs and the programs are not installed: one compose file."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrate.stack.env_file import write_env_file, write_private
from migrate.stack.process import ProcessSpec
from migrate.stack.programs import ServerKind
from migrate.stack.servers.postgres import PostgresServer
from migrate.stack.servers.rabbitmq import USER as RABBITMQ_USER
from migrate.stack.servers.rabbitmq import RabbitServer
from migrate.stack.servers.redis import RedisServer
from migrate.stack.servers.server import HOST, Server, ServerSite

ENGINE_SECONDS = 15.0
PULL_AND_STOP_SECONDS = 60.0

#: The versions that the Dokku part of the manifest uses by default, as small images.
IMAGES: Mapping[ServerKind, str] = {
    "postgres": "postgres:15-alpine",
    "redis": "redis:7-alpine",
    "rabbitmq": "rabbitmq:4-alpine",
}
PORTS: Mapping[ServerKind, int] = {"postgres": 5432, "redis": 6379, "rabbitmq": 5672}
DATA: Mapping[ServerKind, str] = {
    "postgres": "/var/lib/postgresql/data",
    "redis": "/data",
    "rabbitmq": "/var/lib/rabbitmq",
}
POSTGRES_ARGUMENTS = {
    "wal_level": "logical",
    "max_connections": "500",
    "max_wal_senders": "40",
    "max_replication_slots": "40",
    "max_logical_replication_workers": "32",
    "max_worker_processes": "48",
    "wal_retrieve_retry_interval": "500ms",
    "shared_preload_libraries": "pg_stat_statements",
}


def engine_runs() -> bool:
    """Whether `docker compose` could start something now."""
    if shutil.which("docker") is None:
        return False
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(words, capture_output=True, timeout=ENGINE_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return False
        if done.returncode != 0:
            return False
    return True


def project_name(directory: Path) -> str:
    """A compose project per stack directory, so that two checkouts never share containers."""
    return f"strangler-{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}"


def compose_service(kind: ServerKind, site: ServerSite) -> dict[str, object]:
    """The entry of one server. Secrets come from its env file, never from the compose file."""
    command: Sequence[str] = ()
    if kind == "postgres":
        command = [w for k, v in POSTGRES_ARGUMENTS.items() for w in ("-c", f"{k}={v}")]
        command += [] if site.durable else ["-c", "fsync=off"]
    if kind == "redis":
        # The password stays out of the process list: the shell reads it from its environment.
        script = 'printf "requirepass %s\\nsave \\"\\"\\n" "$$REDIS_PASSWORD" | exec redis-server -'
        command = ["sh", "-c", script]
    return {
        "image": IMAGES[kind],
        "ports": [f"{HOST}:{site.port}:{PORTS[kind]}"],
        "env_file": [str(site.env_file)],
        "volumes": [f"{kind}:{DATA[kind]}"],
        **({"command": list(command)} if command else {}),
    }


def container_variables(kind: ServerKind, password: str) -> dict[str, str]:
    """What the official images read at their first start."""
    match kind:
        case "postgres":
            return {"POSTGRES_PASSWORD": password, "POSTGRES_USER": "postgres"}
        case "redis":
            return {"REDIS_PASSWORD": password}
        case "rabbitmq":
            return {"RABBITMQ_DEFAULT_USER": RABBITMQ_USER, "RABBITMQ_DEFAULT_PASS": password}


@dataclass(frozen=True, slots=True)
class ContainerServer:
    """One server of the compose file, run in the foreground so that its end is seen."""

    kind: ServerKind
    site: ServerSite
    compose_file: Path
    native: Server  # address and readiness are the same as those of a private process

    @property
    def url(self) -> str:
        return self.native.url

    async def prepare(self) -> None:
        """Write the env file, and the compose file with this server's entry in it."""
        write_env_file(self.site.env_file, container_variables(self.kind, self.site.password))
        known = json.loads(self.compose_file.read_text()) if self.compose_file.exists() else {}
        services = {**known.get("services", {}), self.kind: compose_service(self.kind, self.site)}
        document = {
            "name": project_name(self.compose_file.parent),
            "services": services,
            "volumes": {name: {} for name in services},
        }
        write_private(self.compose_file, json.dumps(document, indent=2) + "\n")

    def processes(self) -> tuple[ProcessSpec, ...]:
        compose = ("docker", "compose", "--file", str(self.compose_file), "--progress", "plain")
        return (
            ProcessSpec(
                name=self.kind,
                argv=(*compose, "up", "--no-log-prefix", "--no-deps", self.kind),
                cwd=str(self.compose_file.parent),
                env_file=str(self.site.env_file),
                log_file=str(self.site.log_file),
                inherits=True,  # the engine's address and the registry's credentials
                stop_seconds=PULL_AND_STOP_SECONDS,
            ),
        )

    async def is_ready(self) -> bool:
        return await self.native.is_ready()


def container_server(kind: ServerKind, site: ServerSite, compose_file: Path) -> ContainerServer:
    """A server of the compose file."""
    natives: dict[ServerKind, Server] = {
        "postgres": PostgresServer(site, Path()),
        "redis": RedisServer(site, Path()),
        "rabbitmq": RabbitServer(site, Path(), Path()),
    }
    return ContainerServer(kind, site, compose_file, natives[kind])


def remove_containers(compose_file: Path, *, volumes: bool) -> None:
    """Stop and remove what the file describes, also what a killed command left; nothing without a file."""
    if not compose_file.exists() or shutil.which("docker") is None:
        return
    words = ["docker", "compose", "--file", str(compose_file), "down", "--remove-orphans"]
    words += ["--volumes"] if volumes else []
    subprocess.run(words, capture_output=True, timeout=PULL_AND_STOP_SECONDS, check=False)
    if volumes:
        compose_file.unlink()
