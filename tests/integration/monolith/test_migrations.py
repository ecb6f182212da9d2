"""The schema: applied once, also by two at the same time; changed files are refused."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import pytest

from monolith import migrations


async def test_two_migrators_at_once_apply_every_file_once(empty_dsn: str) -> None:
    applied = await asyncio.gather(migrations.migrate(empty_dsn), migrations.migrate(empty_dsn))
    names = [path.stem for path in migrations.schema_files()]
    assert sorted(applied, key=len) == [[], names]
    assert await migrations.migrate(empty_dsn) == []
    connection = await asyncpg.connect(empty_dsn)
    keys = await connection.fetchval(
        "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'x\\_%' AND contype = 'f'"
    )
    public = await connection.fetchval(
        "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'public' AND has_function_privilege('public', p.oid, 'EXECUTE')"
    )
    await connection.close()
    assert keys == 23
    assert public == 0


async def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty_dsn: str) -> None:
    await migrations.migrate(empty_dsn)
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("UPDATE schema_migrations SET checksum = 'x' WHERE name LIKE '0004%'")
    await connection.close()
    with pytest.raises(migrations.MigrationError, match="0004_content"):
        await migrations.migrate(empty_dsn)


async def test_the_command_says_what_it_did(empty_dsn: str) -> None:
    async def run(**environment: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "monolith.migrations",
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, output.decode()

    status, text = await run(DATABASE_URL=empty_dsn)
    assert status == 0
    assert "0001_platform" in text
    assert (await run(DATABASE_URL=""))[0] == 2
    status, text = await run(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert status == 1
    assert "schema not applied" in text
