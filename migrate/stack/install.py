"""Installs missing programs with apt, without starting or enabling the machine's own services.

`python -m migrate.stack.install [LIST]` makes sure of the servers, and of the programs that the file LIST names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from migrate.stack.errors import ProgramMissingError
from migrate.stack.programs import EXTRA_PATH, Programs, ServerKind, find_programs

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
URLS_HINT = (
    "install PostgreSQL 15 or newer, Redis and RabbitMQ by your package manager, or set "
    "STACK_POSTGRES_URL, STACK_REDIS_URL and STACK_RABBITMQ_URL"
)
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
    """Install the programs of these servers; their services neither start nor stay enabled."""
    missing = tuple(kinds)
    prefix = apt_install([PACKAGES[kind] for kind in missing], URLS_HINT)
    for kind in missing:
        disable_unit(prefix, UNITS[kind])


def ensure_listed(path: Path) -> None:
    """Install the packages of a list whose program is missing.

    Lines are `program package [service]`, # begins a comment; a named service is kept from starting.
    """
    lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
    wanted = [words for words in lines if len(words) >= 2]
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), *EXTRA_PATH))
    missing = [words for words in wanted if not shutil.which(words[0], path=search)]
    if missing:
        prefix = apt_install([words[1] for words in missing])
        for words in missing:
            for unit in words[2:]:
                disable_unit(prefix, unit)


def apt_install(packages: Sequence[str], hint: str = "") -> list[str]:
    """apt-get install, asking nothing; returns the prefix for commands that need root."""
    names = " ".join(packages)
    prefix = administrator_prefix()
    if shutil.which("apt-get") is None:
        raise ProgramMissingError(
            f"not installed: {names}, and this machine has no apt-get",
            hint=hint or "install them by your package manager",
        )
    if prefix is None:
        raise ProgramMissingError(
            f"not installed: {names}; installing needs root or sudo",
            hint=f"as root: apt-get install {names}",
        )
    print(f"installing {names} (apt-get)", file=sys.stderr, flush=True)
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    apt += ["-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"]
    with services_stay_off(prefix):
        _run([*apt, "update"], names)
        _run([*apt, "install", "-y", "--no-install-recommends", *packages], names)
    return prefix


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


def _run(command: list[str], packages: str) -> None:
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
            hint=f"try by hand: apt-get install {packages}",
        )


def main(arguments: list[str]) -> int:
    try:
        ensure_programs()
        for argument in arguments:
            ensure_listed(Path(argument))
    except ProgramMissingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
