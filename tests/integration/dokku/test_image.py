"""The image: built by Docker where an engine runs, else step by step in a folder; then its processes start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from migrate.dokku.desired import app_models
from migrate.dokku.procfile import argv, processes
from shared.manifest import load_manifest
from tests.dokku_host.image import Ignored, Stage, StepFailedError, build

ROOT = Path(__file__).parents[3]
MANIFEST = load_manifest(ROOT / "migration.toml")
#: (app, process, command) of everything whose code is in this repository.
PROCESSES = tuple(
    (app, name, command)
    for app in app_models(MANIFEST)
    for name, command in processes((ROOT / "dokku" / app / "Procfile").read_text()).items()
    if (ROOT / command.split()[2].replace(".", "/")).is_dir()
    or (ROOT / (command.split()[2].replace(".", "/") + ".py")).exists()
)
START_SECONDS = 30.0


def engine_runs() -> bool:
    """Whether there is a Docker engine to build with."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The built image as a folder; with an engine, the real one is built and started as well."""
    if engine_runs():
        tag = "strangler-test:local"
        subprocess.run(
            ["docker", "build", "-q", "-t", tag, "-f", str(ROOT / "dokku/Dockerfile"), str(ROOT)],
            check=True, capture_output=True, timeout=900,
        )  # fmt: skip
        said = subprocess.run(
            ["docker", "run", "--rm", tag, "python", "-m", "migrate.cli", "--help"],
            check=True, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert "Move a monolith to services" in said.stdout
    return build(ROOT / "dokku" / "Dockerfile", ROOT, tmp_path_factory.mktemp("image"))


def test_the_image_holds_what_runs_and_nothing_else(image: Stage) -> None:
    names = {path.name for path in (image.root / "app").iterdir()}
    assert names == {
        "shared", "monolith", "services", "router", "migrate", "migration.toml", "pyproject.toml",
    }  # fmt: skip
    assert image.user == "1000"
    assert not list((image.root / "app").rglob(".env"))
    assert image.command == ["python", "-m", "router"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("COPY nothing/ nothing/", "not in the build context"),
        ("COPY tests/ tests/", "not in the build context"),
        ("RUN python -c 'import no_such_package'", "No module named"),
        ("RUN false", "exit code 1"),
    ],
)
def test_a_broken_step_is_found(tmp_path: Path, line: str, problem: str) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM python:3.11.13-slim-bookworm\nWORKDIR /app\n{line}\n")
    with pytest.raises(StepFailedError, match=problem):
        build(dockerfile, ROOT, tmp_path / "image")


def test_the_context_leaves_out_what_no_image_needs() -> None:
    ignored = Ignored((ROOT / ".dockerignore").read_text())
    for path in (".git/config", "tests/conftest.py", "router/__pycache__/x.pyc", ".env", ".venv/x"):
        assert ignored(path), path
    for path in ("router/worker.py", "shared/control/schema/0001_control.sql", "migration.toml"):
        assert not ignored(path), path


def environment(image: Stage, database: str, redis_url: str, port: str) -> dict[str, str]:
    """What Dokku gives to a process: PORT is empty for everything but web."""
    return {
        **image.environment(),
        "PORT": port,
        "HOST": "127.0.0.1",
        "DATABASE_URL": database,
        "SHARED_DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:1/",  # nobody listens: start without it
        "JWT_SECRETS": "a-signing-secret-of-more-than-32-bytes",
        "PUBLIC_BASE_URL": "http://127.0.0.1:1",
        "WORKERS": "1",
        "ADMIN_PORT": str(free_port()),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def release(image: Stage, database: str, redis_url: str, command: str) -> int:
    """Run a release command in the image's folder; its exit code."""
    process = await asyncio.create_subprocess_exec(
        *argv(command, {}), cwd=image.place("."),
        env=environment(image, database, redis_url, ""), stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == 0, err.decode()
    return process.returncode or 0


RELEASES = tuple(dict.fromkeys(c for _, name, c in PROCESSES if name == "release"))


@pytest.mark.parametrize("command", RELEASES)
async def test_a_release_is_safe_under_two_deploys_at_once(
    image: Stage, database: str, redis_url: str, command: str
) -> None:
    await asyncio.gather(*(release(image, database, redis_url, command) for _ in range(2)))


@pytest.fixture(scope="module")
def prepared(image: Stage, module_database: str, redis_url: str) -> str:
    """DSN of a database with the old API's tables and the control store, for all processes."""

    async def prepare() -> None:
        for line in RELEASES[:2]:
            await release(image, module_database, redis_url, line)

    asyncio.run(prepare())
    return module_database


@pytest.mark.parametrize("app", sorted({app for app, name, _ in PROCESSES if name != "release"}))
async def test_processes_start_without_a_shell_and_end_on_sigterm(
    image: Stage, prepared: str, redis_url: str, app: str
) -> None:
    """Web and worker at the same time, as Dokku starts them."""
    rows = [row for row in PROCESSES if row[0] == app and row[1] in {"web", "worker"}]
    await asyncio.gather(
        *(lives(image, prepared, redis_url, app, name, command) for _, name, command in rows)
    )


async def lives(
    image: Stage, database: str, redis_url: str, app: str, name: str, command: str
) -> None:
    """One process from its start to its end."""
    port = str(free_port()) if name == "web" else ""
    env = environment(image, database, redis_url, port)
    log = image.root / f"{app}-{name}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *argv(command, {"PORT": port}), cwd=image.place("."), env=env, stdout=out, stderr=out
        )
    try:
        if port:
            health = env["ADMIN_PORT"] if app == "router" else port
            await _answers(process, f"http://127.0.0.1:{health}/healthz", log)
        else:
            await _stays_up(process, log)
            if app != "api-monolith":
                return  # without a broker they finish their last attempt first; killed below
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), START_SECONDS)
        assert code in {0, -signal.SIGTERM}, tail(log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def tail(log: Path) -> str:
    """The end of a process's output, for the message of a failure."""
    return log.read_text()[-2000:]


async def _answers(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
        for _ in range(int(START_SECONDS * 5)):
            assert process.returncode is None, tail(log)
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.2)
    raise AssertionError(f"{url} does not answer: {tail(log)}")


async def _stays_up(process: asyncio.subprocess.Process, log: Path) -> None:
    """A worker that cannot read its settings ends at once; PORT is the empty text here."""
    for _ in range(10):
        await asyncio.sleep(0.2)
        assert process.returncode is None, tail(log)


def test_the_dsn_of_a_missing_database_is_the_only_reason_not_to_start(
    image: Stage, redis_url: str
) -> None:
    """A release without its database says so and fails the deploy, instead of going on."""
    env = environment(image, "postgresql://nobody@127.0.0.1:1/none", redis_url, "")
    done = subprocess.run(
        argv("python -m monolith.migrations", {}), cwd=image.place("."), env=env,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "schema not applied" in done.stderr
    assert os.pathsep in env["PATH"]
