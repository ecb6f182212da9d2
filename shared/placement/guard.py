"""A connection that refuses statements on tables of others before they are sent; decides nothing itself."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import asyncpg

from shared.placement.errors import OwnershipError
from shared.placement.ownership import TableGrants, violations

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
else:
    Base = asyncpg.Connection  # generic for the type checker only


@lru_cache(maxsize=64)
def guarded_connection(grants: TableGrants) -> type[asyncpg.Connection[asyncpg.Record]]:
    """A connection class for asyncpg's pool whose every statement is held against `grants`."""

    def check(sql: str) -> None:
        if found := violations(sql, grants):
            raise OwnershipError(found, sql)

    def check_write(table: str, schema: str | None) -> None:
        name = table if schema in (None, "public") else f"{schema}.{table}"
        if name not in grants.writes:
            raise OwnershipError((f"writes {name}",), f"COPY {name}")

    class GuardedConnection(Base):
        """Checks the text of every public method that takes SQL."""

        async def execute(self, query: str, *args: Any, **options: Any) -> str:
            check(query)
            return await super().execute(query, *args, **options)

        async def executemany(self, command: str, args: Any, **options: Any) -> None:
            check(command)
            await super().executemany(command, args, **options)

        async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
            check(query)
            return await super().fetch(query, *args, **options)

        async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
            check(query)
            return await super().fetchrow(query, *args, **options)

        async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
            check(query)
            return await super().fetchval(query, *args, **options)

        async def fetchmany(self, query: str, args: Any, **options: Any) -> Any:
            check(query)
            return await super().fetchmany(query, args, **options)

        async def prepare(self, query: str, **options: Any) -> Any:
            check(query)
            return await super().prepare(query, **options)

        def cursor(self, query: str, *args: Any, **options: Any) -> Any:
            check(query)
            return super().cursor(query, *args, **options)

        async def copy_from_query(self, query: str, *args: Any, **options: Any) -> str:
            check(query)
            return await super().copy_from_query(query, *args, **options)

        async def copy_records_to_table(
            self, table_name: str, *, schema_name: str | None = None, **options: Any
        ) -> str:
            check_write(table_name, schema_name)
            return await super().copy_records_to_table(
                table_name, schema_name=schema_name, **options
            )

        async def copy_to_table(
            self, table_name: str, *, schema_name: str | None = None, **options: Any
        ) -> str:
            check_write(table_name, schema_name)
            return await super().copy_to_table(table_name, schema_name=schema_name, **options)

        async def copy_from_table(
            self, table_name: str, *, schema_name: str | None = None, **options: Any
        ) -> str:
            name = f"{schema_name}.{table_name}" if schema_name else table_name
            check(f"SELECT FROM {name}")
            return await super().copy_from_table(table_name, schema_name=schema_name, **options)

    return GuardedConnection
