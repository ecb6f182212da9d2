"""Servers for the tests: real PostgreSQL, Redis and RabbitMQ, from TEST_*_URL or started privately.

Without these variables one set is started under .stack/test by the first test that needs one, shared by all
workers of the run, and removed at its end; it also ends by itself should the run be killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest

from migrate.stack.local import LocalStack
from migrate.stack.logs import tail
from shared.manifest import load_manifest
from shared.observability.context import forget_request

REPOSITORY = Path(__file__).resolve().parents[1]
RUN_VARIABLE = "STRANGLER_TEST_RUN"  # pid of the process that started the run, seen by its workers
START_SECONDS = 1000  # installing missing programs included

# A slow machine is no failure: no example is timed.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[RUN_VARIABLE] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and _run_directory().exists():
        _servers("remove", str(_run_directory()))


def _run_directory() -> Path:
    return REPOSITORY / ".stack" / "test" / os.environ[RUN_VARIABLE]


def _servers(*arguments: str) -> str:
    """Run the servers' own command in a process of its own: this one may have an event loop."""
    result = subprocess.run(
        [sys.executable, "-m", "migrate.stack.servers", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        timeout=START_SECONDS,
        check=True,
    )
    return result.stdout


def _remove_leftovers(directory: Path) -> None:
    """Servers of a killed run end by themselves; their files are removed by the next run."""
    for old in directory.glob("*"):
        if old.name.isdigit() and not Path("/proc", old.name).exists():
            _servers("remove", str(old))


@pytest.fixture(scope="session")
def server_urls() -> dict[str, str]:
    """Address of each server kind, with superuser rights."""
    given = {kind: os.environ.get(f"TEST_{kind.upper()}_URL", "") for kind in _KINDS}
    if all(given.values()):
        return given
    _remove_leftovers(_run_directory().parent)
    started = json.loads(_servers("start", str(_run_directory()), os.environ[RUN_VARIABLE]))
    return {kind: given[kind] or started[kind] for kind in _KINDS}


_KINDS = ("postgres", "redis", "rabbitmq")


@pytest.fixture(scope="session")
def postgres_url(server_urls: dict[str, str]) -> str:
    """Superuser DSN of a private server with wal_level=logical."""
    return server_urls["postgres"]


@pytest.fixture(scope="session")
def redis_url(server_urls: dict[str, str]) -> str:
    return server_urls["redis"]


@pytest.fixture(scope="session")
def rabbitmq_url(server_urls: dict[str, str]) -> str:
    return server_urls["rabbitmq"]


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    """DSN of an empty database of the test's own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest.fixture(scope="module")
def local_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalStack]:
    """A whole system of the module's own, started by the command itself, on ports of its own.

    A module may say which services it needs: `STACK_SERVICES = ("content",)`; the rest stays down.
    """
    directory = tmp_path_factory.mktemp("stack")
    failed_before = request.session.testsfailed
    only = getattr(request.module, "STACK_SERVICES", ())
    _command(directory, "up", *(word for name in only for word in ("--only", name)))
    try:
        yield LocalStack(directory, load_manifest(MANIFEST), MANIFEST)
    finally:
        if request.session.testsfailed > failed_before:
            for log in sorted((directory / "logs").glob("*.log")):
                print(f"--- {log.name} ---\n{tail(log, 8)}")
        _command(directory, "down", "--wipe", "--yes")


MANIFEST = REPOSITORY / "migration.toml"


def _command(directory: Path, *arguments: str) -> None:
    """`migrate` for one stack, which ends with this test run."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STACK_")}
    subprocess.run(
        [sys.executable, "-m", "migrate.cli", "--stack", str(directory), *arguments],
        cwd=REPOSITORY,
        env={**ours, "STACK_OWNER_PID": os.environ[RUN_VARIABLE], "STACK_PUBLIC_PORT": "0"},
        timeout=START_SECONDS,
        check=True,
    )


@pytest.fixture(autouse=True)
def no_request_of_another_test() -> None:
    """What a test bound to its log lines must not be seen by the next one."""
    forget_request()
