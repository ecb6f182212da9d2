"""Pools hand connections on without a reset of their own: nothing of one use may reach the next."""

from __future__ import annotations

import asyncpg
import pytest

from shared.placement.errors import OwnershipError
from shared.placement.ownership import TableGrants
from shared.placement.pools import PoolSettings, open_pool


async def test_a_transaction_that_was_left_open_is_rolled_back_before_the_next_use(
    database: str,
) -> None:
    pool = await open_pool(database, "tests", PoolSettings(max_size=1))
    try:
        await pool.execute("CREATE TABLE kept (n int)")
        async with pool.acquire() as connection:
            await connection.execute("BEGIN")
            await connection.execute("SET LOCAL search_path = elsewhere")
            await connection.execute("INSERT INTO public.kept VALUES (1)")
        async with pool.acquire() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0
    finally:
        await pool.close()


async def test_a_service_cannot_leave_a_setting_or_a_lock_to_the_next_use(database: str) -> None:
    pool = await open_pool(database, "tests", PoolSettings(max_size=1), grants=TableGrants())
    try:
        for statement in ("SET timezone = 'Asia/Tokyo'", "SELECT pg_advisory_lock(7)"):
            with pytest.raises(OwnershipError, match="for the session"):
                await pool.execute(statement)
        assert await pool.fetchval("SHOW timezone") == "UTC"
        outside = await asyncpg.connect(database)
        assert await outside.fetchval("SELECT pg_try_advisory_lock(7)")
        await outside.close()
    finally:
        await pool.close()
