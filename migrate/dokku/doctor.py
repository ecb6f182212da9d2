"""Examines host, repository and environment before a plan is trusted; changes nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from migrate.dokku import reports
from migrate.dokku.argv import command
from migrate.dokku.desired import DesiredApp
from migrate.dokku.procfile import json_with_comments, processes
from migrate.dokku.reading import exists
from migrate.dokku.session import Session
from migrate.dokku.transport import must
from shared.errors import StranglerError

#: Oldest Dokku whose reports and retirement of containers this toolkit knows.
OLDEST = (0, 38, 0)
HOST_SETUP = Path("dokku/host-setup.sh")
_PLUGIN_LINE = re.compile(r"^install_plugin (\S+) (\S+) (\S+)$", re.MULTILINE)


class Level(StrEnum):
    """How a finding is meant."""

    GOOD = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what to type where it is not good."""

    level: Level
    what: str
    advice: str = ""


def pinned_plugins(text: str) -> dict[str, str]:
    """Version by plugin, from the host set-up script."""
    return {name: version for name, _url, version in _PLUGIN_LINE.findall(text)}


async def examine(session: Session) -> tuple[Finding, ...]:
    """All findings; a lost connection ends the part about the host."""
    found = [finding async for finding in _repository(session)]
    found += _environment(session)
    try:
        found += [finding async for finding in _host(session)]
    except StranglerError as error:
        found.append(Finding(Level.BAD, error.message))
    return tuple(found)


async def _repository(session: Session) -> AsyncIterator[Finding]:
    for program in ("git", "ssh"):
        if shutil.which(program) is None:
            yield Finding(Level.BAD, f"{program} is not installed", f"apt-get install {program}")
            return
    try:
        await session.repository.refuse_shallow()
        dirty = (await session.repository.git("status", "--porcelain")).text.strip()
    except StranglerError as error:
        yield Finding(Level.BAD, error.message)
        return
    if dirty:
        yield Finding(
            Level.WARN,
            "there are changes that are not committed",
            "deploys push commits: git commit",
        )
    for app in session.desired.apps.values():
        for finding in _files(session.repository.folder, app):
            yield finding


def _files(root: Path, desired: DesiredApp) -> list[Finding]:
    app, folder = desired.name, desired.folder
    found: list[Finding] = []
    procfile, app_json = root / folder / "Procfile", root / folder / "app.json"
    if not procfile.exists():
        found.append(
            Finding(Level.BAD, f"{app}: {folder}/Procfile is missing", "Dokku would ignore that")
        )
    else:
        entries = processes(procfile.read_text(encoding="utf-8"))
        unknown = [name for name, count in desired.scale.items() if count and name not in entries]
        if unknown:
            advice = "add them to the Procfile, or take them out of the manifest"
            found.append(
                Finding(Level.BAD, f"{app}: no Procfile entry for {', '.join(unknown)}", advice)
            )
    if not app_json.exists():
        found.append(
            Finding(Level.BAD, f"{app}: {folder}/app.json is missing", "Dokku would check nothing")
        )
    else:
        try:
            data = json_with_comments(app_json.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            return [*found, Finding(Level.BAD, f"{app}: {folder}/app.json is not JSON: {error}")]
        wanted = sorted((task.schedule, task.command) for task in desired.cron)
        tasks = sorted(
            (str(t.get("schedule")), str(t.get("command"))) for t in data.get("cron", [])
        )
        if wanted != tasks:
            advice = "write the same `cron` into both"
            found.append(
                Finding(Level.BAD, f"{app}: tasks of {folder}/app.json and manifest differ", advice)
            )
        if "formation" in data:
            advice = "take `formation` out: it forbids the manifest's scale"
            found.append(Finding(Level.BAD, f"{app}: {folder}/app.json has a formation", advice))
    return found


def _environment(session: Session) -> list[Finding]:
    found = [
        Finding(Level.BAD, f"{name}: {key} has no value", advice)
        for name, app in session.desired.apps.items()
        for key, advice in app.missing.items()
    ]
    return found or [Finding(Level.GOOD, "every variable has a value")]


async def _host(session: Session) -> AsyncIterator[Finding]:
    said = (await must(session.transport, command("version"))).text
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    version = tuple(int(part) for part in found.groups()) if found else (0, 0, 0)
    if version < OLDEST:
        yield Finding(
            Level.BAD, f"{session.target} runs {said.strip() or 'an unknown Dokku'}",
            f"0.38 is needed: ssh root@{session.target.host} 'bash -s' < {HOST_SETUP}",
        )  # fmt: skip
    else:
        yield Finding(Level.GOOD, f"{session.target} runs {said.strip()}")
    async for finding in _plugins(session):
        yield finding
    for name in session.desired.apps:
        if await exists(session.transport, name):
            locked = await session.transport.run(command("apps:locked", name))
            if locked.exit == 0:
                yield Finding(
                    Level.WARN, f"{name} is locked by a deploy",
                    f"when none runs: dokku apps:unlock {name}",
                )  # fmt: skip


async def _plugins(session: Session) -> AsyncIterator[Finding]:
    answer = await must(session.transport, command("plugin:list", "--format", "json"))
    rows = reports.json_list("plugin:list", answer.text)
    installed = {str(row.get("name", "")): str(row.get("version", "")) for row in rows}
    needed: set[str] = set()
    needed.update(store.kind for store in session.section.stores.values())
    for app in session.desired.apps.values():
        needed |= {"letsencrypt"} if app.letsencrypt else set()
        needed |= {"maintenance"} if app.public else set()
    script = session.repository.folder / HOST_SETUP
    pins = pinned_plugins(script.read_text(encoding="utf-8")) if script.exists() else {}
    advice = f"ssh root@{session.target.host} 'bash -s' < {HOST_SETUP}"
    for name in sorted(needed):
        pin = pins.get(name, "")
        if name not in installed:
            yield Finding(Level.BAD, f"plugin {name} is not installed", advice)
        elif re.fullmatch(r"[\d.]+", pin) and installed[name] != pin:
            yield Finding(
                Level.WARN, f"plugin {name} is {installed[name]}, pinned is {pin}", advice
            )
        else:
            yield Finding(Level.GOOD, f"plugin {name} {installed[name]}")
