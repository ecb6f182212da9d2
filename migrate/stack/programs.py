"""Where the servers' programs are on this machine; looks, never installs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ServerKind = Literal["postgres", "redis", "rabbitmq"]
SERVER_KINDS: tuple[ServerKind, ...] = ("postgres", "redis", "rabbitmq")

# Row filters and column lists of publications came with 15; the split is written against it.
MINIMUM_POSTGRES = 15
POSTGRES_HOMES = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local/opt")
# Debian keeps server programs in sbin, which an ordinary user's PATH lacks.
EXTRA_PATH = (
    "/usr/lib/rabbitmq/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/sbin",
)


@dataclass(frozen=True, slots=True)
class Programs:
    """Absolute paths per server kind: the main program first. A missing kind has no entry."""

    postgres: Path | None  # directory of initdb, postgres
    redis: Path | None  # redis-server or valkey-server
    rabbitmq: Path | None  # rabbitmq-server, the script that any account may run
    epmd: Path | None

    @property
    def missing(self) -> tuple[ServerKind, ...]:
        present: dict[ServerKind, bool] = {
            "postgres": self.postgres is not None,
            "redis": self.redis is not None,
            "rabbitmq": self.rabbitmq is not None and self.epmd is not None,
        }
        return tuple(kind for kind in SERVER_KINDS if not present[kind])


def find_programs(environment: Mapping[str, str] | None = None) -> Programs:
    """Search PATH and the places where distributions put server programs."""
    path = (os.environ if environment is None else environment).get("PATH", os.defpath)
    return Programs(
        postgres=find_postgres(path),
        redis=_which("redis-server", path) or _which("valkey-server", path),
        # Debian's /usr/sbin/rabbitmq-server is a wrapper that insists on root or its own account.
        rabbitmq=_which("rabbitmq-server", os.pathsep.join((EXTRA_PATH[0], path, *EXTRA_PATH))),
        epmd=_which("epmd", path) or find_epmd(),
    )


def find_postgres(path: str) -> Path | None:
    """The directory of the newest PostgreSQL of at least 15."""
    candidates = [
        (version, home / "bin")
        for root in POSTGRES_HOMES
        for version, home in _versions(Path(root))
    ]
    usable = [(v, bin_) for v, bin_ in candidates if v >= MINIMUM_POSTGRES and _has_server(bin_)]
    if usable:
        return max(usable)[1]
    initdb = shutil.which("initdb", path=path)
    if initdb is not None and _has_server(Path(initdb).resolve().parent):
        return Path(initdb).resolve().parent
    return None


def _versions(root: Path) -> list[tuple[int, Path]]:
    if not root.is_dir():
        return []
    found = []
    for home in root.iterdir():
        match = re.fullmatch(r"(?:postgresql@)?(\d+)", home.name)
        if match is not None:
            found.append((int(match[1]), home))
    return found


def _has_server(directory: Path) -> bool:
    return all((directory / name).exists() for name in ("postgres", "initdb"))


def find_epmd() -> Path | None:
    """Erlang keeps its port mapper inside its own tree when PATH has none."""
    for root in ("/usr/lib/erlang", "/usr/local/lib/erlang"):
        for candidate in sorted(Path(root).glob("erts-*/bin/epmd")):
            return candidate
    return None


def _which(name: str, path: str) -> Path | None:
    found = shutil.which(name, path=os.pathsep.join((path, *EXTRA_PATH)))
    return Path(found) if found is not None else None
