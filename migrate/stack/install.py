"""Installs missing server programs with apt, without starting or enabling the machine's own services."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from migrate.stack.errors import ProgramMissingError
from migrate.stack.programs import Programs, ServerKind, find_programs

# What Debian and Ubuntu call them. `postgresql` brings the distribution's default version.
PACKAGES: dict[ServerKind, str] = {
    "postgres": "postgresql",
    "redis": "redis-server",
    "rabbitmq": "rabbitmq-server",
}
UNITS: dict[ServerKind, str] = {
    "postgres": "postgresql.service",
    "redis": "redis-server.service",
    "rabbitmq": "rabbitmq-server.service",
}
APT_SECONDS = 900.0
# invoke-rc.d(8): exit code 101 of this file forbids every start of a service by a package script.
START_POLICY = Path("/usr/sbin/policy-rc.d")
START_POLICY_TEXT = "#!/bin/sh\nexit 101\n"
# pg_createcluster(1), createcluster.conf(5): without it the package would create a cluster of its own.
CLUSTER_SETTINGS = Path("/etc/postgresql-common/createcluster.conf")


def ensure_programs() -> Programs:
    """The programs of all servers, installed if need be; raises ProgramMissingError with what to type."""
    programs = find_programs()
    if programs.missing:
        install(programs.missing)
        programs = find_programs()
    if programs.missing:
        raise ProgramMissingError(
            f"installed, and yet not found or too old: {', '.join(programs.missing)}",
            hint="PostgreSQL 15 or newer, Redis and RabbitMQ are needed on PATH",
        )
    return programs


def install(kinds: Iterable[ServerKind]) -> None:
    """apt-get install of what is missing; asks nothing."""
    missing = tuple(kinds)
    packages = [PACKAGES[kind] for kind in missing]
    by_hand = f"apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise ProgramMissingError(
            f"not installed: {', '.join(missing)}, and this machine has no apt-get",
            hint="install PostgreSQL 15+, Redis and RabbitMQ by your package manager, or set "
            "STACK_POSTGRES_URL, STACK_REDIS_URL and STACK_RABBITMQ_URL",
        )
    prefix = administrator_prefix()
    if prefix is None:
        raise ProgramMissingError(
            f"not installed: {', '.join(missing)}; installing needs root or sudo",
            hint=f"as root: {by_hand}",
        )
    print(f"installing {' '.join(packages)} (apt-get)", file=sys.stderr, flush=True)
    with services_stay_off(prefix):
        _run([*prefix, "apt-get", "-qq", "update"], by_hand)
        _run(
            [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "-y"]
            + ["--no-install-recommends", *packages],
            by_hand,
        )
    for kind in missing:
        disable_unit(prefix, UNITS[kind])


def administrator_prefix() -> list[str] | None:
    """What to put before a command that needs root: nothing, sudo, or None when there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    if sys.stdin.isatty():
        return [sudo]
    free = subprocess.run([sudo, "-n", "true"], capture_output=True, timeout=10, check=False)
    return [sudo, "-n"] if free.returncode == 0 else None


@contextmanager
def services_stay_off(prefix: list[str]) -> Iterator[None]:
    """While packages are installed no service starts and no cluster is created; existing files win."""
    placed: list[Path] = []
    for path, text, mode in (
        (START_POLICY, START_POLICY_TEXT, "0755"),
        (CLUSTER_SETTINGS, "create_main_cluster = false\n", "0644"),
    ):
        if not path.exists():
            command = [*prefix, "install", "-D", "-m", mode, "/dev/stdin", str(path)]
            subprocess.run(command, input=text, text=True, timeout=30, check=True)
            placed.append(path)
    try:
        yield
    finally:
        for path in placed:
            subprocess.run([*prefix, "rm", "-f", str(path)], timeout=30, check=True)


def disable_unit(prefix: list[str], unit: str) -> None:
    """Keep a service that we installed from starting with the machine; only where systemd runs."""
    if Path("/run/systemd/system").is_dir():
        command = [*prefix, "systemctl", "disable", "--quiet", unit]
        subprocess.run(command, timeout=60, check=False, capture_output=True)


def _run(command: list[str], by_hand: str) -> None:
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=APT_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        lines = result.stdout.splitlines()[-15:]
        raise ProgramMissingError(
            f"{' '.join(command)} failed with exit code {result.returncode}:\n" + "\n".join(lines),
            hint=f"try by hand: {by_hand}",
        )
