"""One small system on a Dokku host from nothing to a rollback; the same steps for a real host and a fake one."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

from migrate.dokku.argv import LONG_SECONDS, command
from migrate.dokku.desired import chosen
from migrate.dokku.doctor import Level, examine
from migrate.dokku.session import Session
from migrate.dokku.transport import must

Ask = Callable[[Session], Awaitable[str]]

#: Everything that a line over ssh could break.
GREETING = "a greeting with spaces, 'quotes', \"more\" and $HOME"
MANIFEST = """
[project]
name = "strangler_test"
public_host = "strangler-test.invalid"

[router]
app = "strangler-test-front"

[monolith]
app = "strangler-test-api"

[services]

[dokku]
host = "named-by-the-environment"
network = "strangler-test"
dockerfile = "Dockerfile"
container_port = 5000
shared_store = "strangler-test-db"
image_paths = ["Dockerfile", "server.py"]
common_config = { GREETING = { env = "STRANGLER_TEST_GREETING" } }

[dokku.stores.strangler-test-db]
kind = "postgres"
image_version = "17.6"
settings = { wal_level = "logical" }
networks = ["strangler-test"]

[dokku.apps.strangler-test-api]
paths = ["dokku/strangler-test-api"]
processes = { web = { quantity = 1, memory = "128m" } }
links = [
  { store = "strangler-test-db", env = "DATABASE_URL", role = "api", rights = [{ tables = ["*"], rights = "own" }] },
]

[dokku.apps.strangler-test-front]
attach = "post-create"
paths = ["dokku/strangler-test-front"]
deploy_after = ["strangler-test-api"]
processes = { web = { quantity = 1, memory = "128m" } }
config = { MONOLITH_URL = { upstream = "strangler-test-api" } }
"""
SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("GREETING", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("0.0.0.0", int(os.getenv("PORT") or 5000)), Handler).serve_forever()
"""
DOCKERFILE = """FROM python:3.11.13-slim-bookworm
WORKDIR /app
COPY server.py ./
CMD ["python", "server.py"]
"""
CHECKS = """{"healthchecks": {"web": [{"type": "startup", "name": "up", "path": "/", "attempts": 10, "wait": 2}]}}
"""
APPS = ("strangler-test-api", "strangler-test-front")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=Test", "-c", "user.email=test@example.com",
         *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "test")
    return git(folder, "rev-parse", "HEAD")


def make_repository(folder: Path) -> Path:
    """A repository with two apps of one file."""
    for app in APPS:
        (folder / "dokku" / app).mkdir(parents=True)
        (folder / "dokku" / app / "Procfile").write_text("web: python server.py\n")
        (folder / "dokku" / app / "app.json").write_text(CHECKS)
    (folder / "server.py").write_text(SERVER)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    git(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


async def remove_everything(session: Session) -> None:
    """Apps first, because a store that is linked cannot go; nothing is there on a clean host."""
    for line in (
        *(["--force", "apps:destroy", app] for app in reversed(APPS)),
        ["--force", "postgres:destroy", "strangler-test-db"],
        ["--force", "network:destroy", "strangler-test"],
    ):
        await session.transport.run(command(*line, timeout_seconds=LONG_SECONDS))


async def live_through(session: Session, repository: Path, ask: Ask) -> None:
    """Provision, deploy, drift in five ways, go forward and back; `ask` calls one app from the other."""
    findings = await examine(session)
    assert not [f for f in findings if f.level is Level.BAD], findings
    assert tuple(chosen(session.manifest)) == APPS

    assert (await session.applier.apply(APPS)).remaining.is_empty

    first = await session.repository.revision()
    await session.deployer.deploy(APPS, first)
    assert (await session.applier.plan(APPS)).is_empty
    assert await ask(session) == GREETING

    drifts = (
        ["checks:set", APPS[0], "wait-to-retire", "5"],
        ["config:set", "--no-restart", APPS[0], "GREETING=changed"],
        ["ps:scale", "--skip-deploy", APPS[0], "web=2"],
        ["resource:limit", "--process-type", "web", "--memory", "64m", APPS[0]],
        ["network:set", APPS[0], "attach-post-deploy"],
    )
    for drift in drifts:
        await must(session.transport, command(*drift, timeout_seconds=LONG_SECONDS))
    plan = await session.applier.plan(APPS)
    found = {difference.key for change in plan.changes for difference in change.differences}
    assert found == {
        "checks.wait-to-retire", "config.GREETING", "scale.web", "limit.web.memory",
        "network.attach-post-deploy", "containers",
    }  # fmt: skip
    assert (await session.applier.apply(APPS)).remaining.is_empty

    (repository / "server.py").write_text(SERVER + "# second\n")
    second = commit(repository)
    await session.deployer.deploy([APPS[0]], second)
    assert await session.deployer.previous(APPS[0]) == first
    await session.deployer.deploy([APPS[0]], first, force=True)
    found = await session.deployer.candidates([APPS[0]], first)
    assert found[0].reason == ""
