"""Backups of moved tables: dumped through one snapshot, restored into a scratch database, compared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrate.split.connection import connected
from migrate.split.context import SplitContext
from migrate.split.dump import find_client, run_program
from migrate.split.model import MovedTable, SplitError
from migrate.split.names import Side
from migrate.split.scratch import (
    PREFIX,
    SchemaArchive,
    run_script,
    scratch_database,
    table_oids,
)
from migrate.split.sums import table_sums
from migrate.split.toc import Round
from migrate.split.verify.compare import Sums

#: Longest dump or restore of data, in seconds.
DATA_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was restored and found equal. Paths are in `folder`."""

    folder: Path
    side: Side
    rows: dict[str, int]
    verified_at: str

    def as_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "side": str(self.side),
            "rows": self.rows,
            "verified_at": self.verified_at,
        }


class BackupFailedError(SplitError):
    """What was restored is not what was dumped."""


async def back_up(
    context: SplitContext,
    side: Side,
    tables: tuple[MovedTable, ...],
    directory: Path,
    *,
    check: bool = True,
) -> Backup:
    """Dump schema and rows of the tables of one side, restore them elsewhere and compare the sums.

    `tables` by their names now. A filtered table is dumped whole. Returns only after the comparison,
    unless `check` is off.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = directory / f"{context.spec.service}-{side}-{stamp}"
    folder.mkdir(parents=True, mode=0o700)
    whole = tuple(MovedTable(table.name) for table in tables)
    endpoint = context.endpoints[side]
    major = context.facts[side].major
    async with connected(endpoint, "backup") as reader:
        await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = await reader.fetchval("SELECT pg_export_snapshot()")
        option = [f"--snapshot={snapshot}"]
        archive = await SchemaArchive.dump(endpoint, folder / "schema.dump", major, option)
        patterns = [f"--table={table.name.sql}" for table in whole]
        arguments = ["-Fc", "-a", "-f", str(folder / "rows.dump"), *option, *patterns]
        await run_program(find_client("pg_dump", major), arguments, endpoint, seconds=DATA_SECONDS)
        sums = await table_sums(reader, whole)
        oids = await table_oids(reader, whole)
    backup = Backup(
        folder, side, {name: found.rows for name, found in sums.items()}, stamp if check else ""
    )
    if check:
        await _check(context, backup, archive, oids, whole, sums, major)
    _describe(backup, sums)
    return backup


async def _check(
    context: SplitContext,
    backup: Backup,
    archive: SchemaArchive,
    oids: list[int],
    tables: tuple[MovedTable, ...],
    sums: dict[str, Sums],
    major: int,
) -> None:
    endpoint = context.endpoints[backup.side]
    name = f"{PREFIX}{context.spec.service}_{context.names.tag}"
    async with scratch_database(endpoint, name) as scratch:
        await run_script(scratch, await archive.statements(oids, [Round.BEFORE_COPY]))
        arguments = ["-a", "--no-owner", "--exit-on-error", str(backup.folder / "rows.dump")]
        await run_program(
            find_client("pg_restore", major), arguments, scratch, seconds=DATA_SECONDS
        )
        async with connected(scratch, "backup") as reader:
            restored = await table_sums(reader, tables)
    wrong = [name for name, found in sums.items() if restored.get(name) != found]
    if wrong:
        raise BackupFailedError(
            f"the backup in {backup.folder} does not hold what the {backup.side} database has in"
            f" {', '.join(wrong)}; nothing was dropped. Try again, and look at disk and memory"
        )


def _describe(backup: Backup, sums: dict[str, Sums]) -> None:
    """A file beside the dumps: what is in them, with digests, and how to restore it."""
    files = {}
    for file in sorted(backup.folder.glob("*.dump")):
        with file.open("rb") as stream:
            files[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    text = {
        **backup.as_json(),
        "sums": {name: asdict(found) for name, found in sums.items()},
        "sha256": files,
        "restore": "pg_restore -d <database> schema.dump (chosen entries), then rows.dump with -a",
    }
    (backup.folder / "backup.json").write_text(json.dumps(text, indent=2), encoding="utf-8")
