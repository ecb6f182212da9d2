"""A database with the whole schema of the contract, made from a template once per test process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from monolith.migrations import migrate as migrate_monolith
from shared.control.migrations import migrate as migrate_control

_templates: dict[str, str] = {}


@asynccontextmanager
async def platform_database(postgres_url: str) -> AsyncIterator[str]:
    """DSN of a fresh database with the contract's tables and the schema `strangler`."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres_url)
    try:
        template = await _template(admin, postgres_url)
        await _create_from(admin, name, template)
    finally:
        await admin.close()
    try:
        yield _dsn(postgres_url, name)
    finally:
        admin = await asyncpg.connect(postgres_url)  # the test may have restarted the server
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()


@contextmanager
def one_for_all(postgres_url: str, *, schema: str | None = None) -> Iterator[str]:
    """DSN of one database for a module's tests, which empty its tables themselves.

    With the contract's tables, or with `schema` alone. For fixtures of module scope: making a
    database takes longer than most tests.
    """
    with asyncio.Runner() as runner:
        name = f"test_{uuid.uuid4().hex[:12]}"
        dsn = _dsn(postgres_url, name)

        async def make() -> None:
            admin = await asyncpg.connect(postgres_url)
            await admin.execute(f'CREATE DATABASE "{name}"')
            await admin.close()
            if schema is None:
                await migrate_monolith(dsn)
                await migrate_control(dsn)
                return
            connection = await asyncpg.connect(dsn)
            await connection.execute(schema)
            await connection.close()

        async def drop() -> None:
            admin = await asyncpg.connect(postgres_url)
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await admin.close()

        runner.run(make())
        try:
            yield dsn
        finally:
            runner.run(drop())


async def _template(admin: asyncpg.Connection, postgres_url: str) -> str:
    """The template of this server: named by the schema's text, so a changed schema makes another."""
    if postgres_url in _templates:
        return _templates[postgres_url]
    name = f"template_{uuid.uuid4().hex[:12]}"
    await admin.execute(f'CREATE DATABASE "{name}"')
    await migrate_monolith(_dsn(postgres_url, name))
    await migrate_control(_dsn(postgres_url, name))
    _templates[postgres_url] = name
    return name


async def drop_templates(postgres_url: str) -> None:
    """Remove the template of this process at the end of the run."""
    name = _templates.pop(postgres_url, None)
    if name is not None:
        admin = await asyncpg.connect(postgres_url)
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()


async def _create_from(admin: asyncpg.Connection, name: str, template: str) -> None:
    for _ in range(50):  # a session that just left the template is still seen for a moment
        try:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        except asyncpg.ObjectInUseError:
            await asyncio.sleep(0.05)
        else:
            return
    raise TimeoutError(f"template {template} stays in use")


def _dsn(postgres_url: str, name: str) -> str:
    return urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
