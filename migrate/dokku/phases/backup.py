"""Dumps stores to files of the operator's machine and reads the dumps back."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from migrate.dokku.argv import LONG_SECONDS, command
from migrate.dokku.phases.world import World
from migrate.dokku.transport import execute, must
from shared.errors import OperatorError

#: First bytes of pg_dump's custom format.
CUSTOM_FORMAT = b"PGDMP"


class BackupError(OperatorError):
    """The dump cannot be used, so nothing that needs it may go on."""


async def back_up(world: World, store: str) -> Path:
    """Dump one store; the file is complete, readable and only the operator's. Returns it."""
    kind = world.session.section.stores[store].kind
    if kind != "postgres":
        raise BackupError(f"{store} is a {kind}, whose plugin cannot dump to a file")
    answer = await must(
        world.session.transport, command("postgres:export", store, timeout_seconds=LONG_SECONDS)
    )
    if not answer.stdout.startswith(CUSTOM_FORMAT):
        raise BackupError(f"the dump of {store} is not in pg_dump's custom format")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    file = world.backups / f"{store}-{world.phase}-{stamp}.dump"
    await asyncio.to_thread(_write, file, answer.stdout)
    entries = await _read_back(file)
    digest = hashlib.sha256(answer.stdout).hexdigest()
    world.say(f"    {file}: {len(answer.stdout)} bytes, {entries}, sha256 {digest[:16]}…")
    return file


def _write(file: Path, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = file.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(body)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)


async def _read_back(file: Path) -> str:
    """pg_restore lists what it can read; without that program only the format was checked."""
    if shutil.which("pg_restore") is None:
        return "format checked (install postgresql-client to read it back)"
    answer = await execute(
        ["pg_restore", "--list", str(file)], stdin=None, timeout_seconds=300, name="pg_restore"
    )
    if answer.exit != 0:
        raise BackupError(f"pg_restore cannot read {file}: {answer.complaint}")
    entries = [line for line in answer.text.splitlines() if line and not line.startswith(";")]
    return f"{len(entries)} entries read back"
