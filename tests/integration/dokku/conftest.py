"""A fake Dokku host per test, over one private PostgreSQL server per process, also behind OpenSSH."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from shared.manifest import Manifest, load_manifest
from tests.dokku_host.host import FakeHost, make_host
from tests.dokku_host.operator_side import ENVIRONMENT, ROOT
from tests.dokku_host.postgres import Databases, private_server
from tests.dokku_host.server import DokkuServer, listening


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    with private_server() as server:
        yield server


@pytest.fixture
def host(databases: Databases) -> Iterator[FakeHost]:
    """An empty host with the plugins installed."""
    yield make_host(databases)
    databases.clean()


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """The shipped one."""
    return load_manifest()


@pytest.fixture(scope="session")
def listener(databases: Databases) -> Iterator[DokkuServer]:
    """One sshd for all tests; each gets a host of its own behind it."""
    with listening(make_host(databases)) as server:
        yield server


@pytest.fixture
def server(listener: DokkuServer, host: FakeHost) -> DokkuServer:
    """An empty host behind ssh."""
    listener.host = host
    shutil.rmtree(listener.folder / "repositories")
    (listener.folder / "repositories").mkdir()
    return listener


@pytest.fixture(scope="module")
def module_database(postgres_url: str) -> Iterator[str]:
    """DSN of an empty database for all tests of a module."""
    name = f"dokku_{uuid.uuid4().hex[:12]}"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute(f'CREATE DATABASE "{name}"'))
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository with the Dokku files of the shipped one and a file per app."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copytree(ROOT / "dokku", folder / "dokku")
    shutil.copy(ROOT / "migration.toml", folder)
    for path in ("shared", "router", "monolith", "migrate", "services/content", "services/media"):
        (folder / path).mkdir(parents=True)
        (folder / path / "code.py").write_text("VERSION = 1\n")
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "first")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git with an identity of its own."""
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=Operator", "-c", "user.email=op@example.com",
         *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commit everything; the revision."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def operator_environment(server: DokkuServer) -> dict[str, str]:
    """What the operator's shell has: secrets, and the way to the host."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        **ENVIRONMENT,
        "DOKKU_HOST": f"{server.user}@127.0.0.1:{server.port}",
        "DOKKU_SSH_OPTIONS": " ".join(server.options),
    }
