"""Deploys of the fake host: what a push brings, new containers, restarts that may fail."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tests.dokku_host.host import FakeHost
from tests.dokku_host.state import App, Build, Container
from tests.dokku_host.words import RefusedError

ROOT = Path(__file__).parents[2]


def running_word(app: App) -> str:
    """`ps:report running`."""
    if app.containers is None or app.stopped:
        return "false"
    return "true" if app.running else "mixed"


def has_task(app: App, task: str) -> bool:
    return task in {f"task{i}" for i in range(len(app.app_json.get("cron", [])))}


def redeploy(host: FakeHost, app: App) -> bool:
    """New containers of the running image; the old ones stay when the new ones fail."""
    if app.containers is None:
        return True
    if app.name in host.failing_deploys:
        app.running = False
        return False
    _replace(host, app, app.containers.revision)
    return True


def _replace(host: FakeHost, app: App, revision: str) -> None:
    networks = ",".join(
        host.property("network", app.name, f"attach-post-{when}") for when in ("create", "deploy")
    )
    app.containers = Container(
        revision,
        dict(app.config),
        dict(app.scale),
        tuple(filter(None, networks.split(","))),
        dict(app.limits),
        tuple(option for option in app.docker_options["deploy"] if option.startswith("--link")),
    )
    app.running, app.stopped = True, False
    app.deploys += 1


def receive(
    host: FakeHost, name: str, ref: str, revision: str, read: Callable[[str], str | None]
) -> str:
    """A push: builds and deploys, or refuses. `read` gives a file of the pushed commit."""
    from tests.dokku_host.web import build_vhost

    with host.lock:
        app = host.app(name)
        host.log.append(["(push)", name, revision])
        branch = host.property("git", name, "deploy-branch", "master")
        if ref != f"refs/heads/{branch}":
            return f" !     WARNING: deploy did not complete, you must push to {branch}.\n"
        if name in host.silent_pushes:
            app.pushed = revision
            return ""
        if app.locked:
            raise RefusedError(f"App {name} is currently being deployed or locked")
        build = Build(uuid4().hex[:8], "failed", revision)
        app.builds.insert(0, build)
        dockerfile = host.property("builder-dockerfile", name, "dockerfile-path", "Dockerfile")
        if host.property("builder", name, "selected") != "dockerfile" or read(dockerfile) is None:
            raise RefusedError(f"Unable to build: no {dockerfile}")
        procfile = read(host.property("ps", name, "procfile-path", "Procfile"))
        app.procfile = _procfile(procfile or "")
        app.app_json = json.loads(
            read(host.property("app-json", name, "appjson-path", "app.json")) or "{}"
        )
        unknown = {t for t, n in app.scale.items() if n} - set(app.procfile)
        if unknown and procfile is not None:
            app.scale |= dict.fromkeys(unknown, 0)
        for process in app.procfile:
            if process != "release":
                app.scale.setdefault(process, 0)
        app.config["GIT_REV"] = revision
        if host.run_releases and "release" in app.procfile:
            _release(host, app)
        if name in host.failing_deploys:
            app.running = app.containers is not None and app.running
            raise RefusedError("web container failed its checks")
        _replace(host, app, revision)
        app.source = app.pushed = revision
        build.status = "succeeded"
        build_vhost(host, app)
        return f"=====> Application deployed: {name}\n"


def _release(host: FakeHost, app: App) -> None:
    """The release task for real, with the app's own rights, as the image of this repository would run it."""
    words = shlex.split(app.procfile["release"])
    if not (ROOT / words[2].replace(".", "/")).with_suffix(".py").exists():
        return  # a service that this repository does not have yet
    stores = {store.name: store for store in host.state.stores.values()}
    env = {**os.environ, **app.config}
    for key, value in app.config.items():
        parts = urlsplit(value)
        name = (parts.hostname or "").removeprefix("dokku-postgres-")
        if parts.scheme == "postgresql" and name in stores:
            user, password = parts.username or "", parts.password or ""
            env[key] = host.databases.dsn(stores[name].database, user, password)
    done = subprocess.run(
        [sys.executable, *words[1:]], env=env, capture_output=True, text=True, check=False,
        timeout=60, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise RefusedError(f"release task failed: {done.stderr.strip()[-400:]}")


def _procfile(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): command.strip() for name, _, command in lines}
