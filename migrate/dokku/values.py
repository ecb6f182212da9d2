"""Gets the values of the manifest's variables from the operator's environment, files and secret commands."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from migrate.dokku.desired import REGISTRY_LOGIN, Value, app_models, config_sources, section_of
from migrate.dokku.transport import CommandTimeoutError, execute
from shared.manifest import Manifest
from shared.manifest_dokku import ConfigSource

#: Longest wait for a secret command; it may ask a person for a finger.
SECRET_SECONDS = 60.0


async def resolve(
    manifest: Manifest, environment: Mapping[str, str] | None = None
) -> tuple[dict[tuple[str, str], Value], dict[tuple[str, str], str]]:
    """(values, missing) by (app, variable); each source is asked once.

    `missing` names what an operator has to do for a variable that must have a value.
    """
    env = os.environ if environment is None else environment
    folder = Path.cwd()
    found: dict[ConfigSource, tuple[str | None, str]] = {}
    values: dict[tuple[str, str], Value] = {}
    missing: dict[tuple[str, str], str] = {}
    password = section_of(manifest).k3s.registry_password
    wanted = dict(config_sources(manifest))
    if password is not None:
        wanted[REGISTRY_LOGIN[0]] = {REGISTRY_LOGIN[1]: password}
    for app, sources in wanted.items():
        for key, source in sources.items():
            if source not in found:
                found[source] = await _value(manifest, source, env, folder)
            text, advice = found[source]
            if text is not None:
                values[app, key] = Value(text, source.is_secret, shell_expression(source, text))
            elif not source.optional:
                missing[app, key] = advice
    return values, missing


async def _value(
    manifest: Manifest, source: ConfigSource, env: Mapping[str, str], folder: Path
) -> tuple[str | None, str]:
    if source.value is not None:
        return source.value, ""
    if source.upstream is not None:
        model = app_models(manifest).get(source.upstream)
        port = model.port if model else None
        return section_of(manifest).upstream_url(source.upstream, port), ""
    if source.env is not None:
        return env.get(source.env) or None, f"export {source.env}=…"
    if source.file is not None:
        return await asyncio.to_thread(_read, folder / source.file), f"write the file {source.file}"
    command = source.command or ()
    advice = f"`{' '.join(command)}` must print it"
    try:
        answer = await execute(command, stdin=None, timeout_seconds=SECRET_SECONDS, name=command[0])
    except (OSError, CommandTimeoutError):
        return None, advice
    text = answer.text.removesuffix("\n").removesuffix("\r")
    return (text or None) if answer.exit == 0 else None, advice


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").removesuffix("\n") or None
    except OSError:
        return None


def shell_expression(source: ConfigSource, text: str) -> str:
    """What stands after `KEY=` in a shell script to give the variable the same value."""
    if source.env is not None:
        return f'"${source.env}"'
    if source.file is not None:
        return f'"$(cat {shlex.quote(source.file)})"'
    if source.command is not None:
        return f'"$({shlex.join(source.command)})"'
    return shlex.quote(text)
