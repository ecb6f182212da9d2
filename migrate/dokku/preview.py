"""Says what the next deploy of an app would do, step by step; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from migrate.dokku.argv import command
from migrate.dokku.deploy import Candidate
from migrate.dokku.procfile import json_with_comments, processes
from migrate.dokku.session import Session
from migrate.dokku.transport import must


@dataclass(frozen=True, slots=True)
class Preview:
    """The deploy that a push would start."""

    app: str
    revision: str
    candidate: Candidate
    release: str
    scale: dict[str, int]
    commands: dict[str, str]
    checks: dict[str, tuple[str, ...]]
    retire_seconds: int
    cluster: str

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.app}: {self.candidate.running[:12] or '(nothing)'} → {self.revision[:12]}"
        yield f"  why: {self.candidate.reason or 'no file of it changed; nothing would be pushed'}"
        for path in self.candidate.files[:20]:
            yield f"    {path}"
        if len(self.candidate.files) > 20:
            yield f"    and {len(self.candidate.files) - 20} more"
        yield "  1. build the image from the Dockerfile"
        yield f"  2. release: {self.release or '(none)'}"
        for place, (name, count) in enumerate(self.scale.items(), start=3):
            passing = ", ".join(self.checks.get(name, ())) or "container up for 10 s"
            yield f"  {place}. {count} × {name}: {self.commands.get(name, '(no Procfile entry)')}"
            yield f"       healthy when: {passing}"
        yield "  then the old containers get SIGTERM at once and are killed after"
        yield f"  {self.retire_seconds} s"
        if self.cluster:
            yield from self.cluster.splitlines()

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "app": self.app,
            "running": self.candidate.running,
            "revision": self.revision,
            "reason": self.candidate.reason,
            "files": list(self.candidate.files),
            "release": self.release,
            "scale": self.scale,
            "commands": self.commands,
            "checks": {name: list(rows) for name, rows in self.checks.items()},
            "retire_seconds": self.retire_seconds,
            "cluster": self.cluster,
        }


async def preview(session: Session, app: str, ref: str) -> Preview:
    """Read the commit's files and the host's state."""
    revision = await session.repository.revision(ref)
    (candidate,) = await session.deployer.candidates([app], revision)
    desired = session.desired.apps[app]
    procfile = await session.repository.read(revision, f"{desired.folder}/Procfile")
    app_json = await session.repository.read(revision, f"{desired.folder}/app.json")
    entries = processes(procfile or "")
    checks = json_with_comments(app_json or "{}").get("healthchecks", {})
    cluster = ""
    if session.section.scheduler == "k3s" and candidate.running:
        cluster = (await must(session.transport, command("scheduler-k3s:preview", app))).text
    kind = {"docker-local": ("startup",), "k3s": ("startup", "readiness", "liveness")}
    return Preview(
        app=app,
        revision=revision,
        candidate=candidate,
        release=entries.get("release", ""),
        scale=dict(desired.scale),
        commands={name: text for name, text in entries.items() if name != "release"},
        checks={
            name: tuple(
                _words(row) for row in rows if row.get("type") in kind[session.section.scheduler]
            )
            for name, rows in checks.items()
        },
        retire_seconds=session.deployer.models[app].wait_to_retire_seconds,
        cluster=cluster,
    )


def _words(row: dict[str, Any]) -> str:
    if "path" in row:
        port = f" on port {row['port']}" if "port" in row else ""
        return f"GET {row['path']}{port} answers 2xx"
    if "command" in row:
        return f"`{' '.join(row['command'])}` succeeds in it"
    return f"up for {row.get('uptime', 10)} s"
