"""Reserve and settle pairs a second on the functions of the shared database.

    make bench-quota             (ARGS="--quick" for a tenth of the pairs)

A private PostgreSQL unless TEST_POSTGRES_URL names one. 20 connections over 1,000 users, then one
hot user. Prints a table and writes .bench/quota.json.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from shared.placement import PoolSettings, open_pool
from shared.placement.connection import Pool
from shared.quota import Quotas
from tests.benchmarks.private_servers import benchmark_servers
from tests.support.platform_database import drop_templates, platform_database

QUICK = "--quick" in sys.argv
PAIRS = 400 if QUICK else 4_000
HOT_PAIRS = 100 if QUICK else 1_000
CONNECTIONS = 20
USERS = 1_000
ROUNDS = 1 if QUICK else 3
REPORT = Path(".bench/quota.json")


def main() -> None:
    with benchmark_servers("postgres") as urls:
        figures = uvloop.run(_run(urls["postgres"]))
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"figures": figures}, indent=2) + "\n")
    table = Table("what", "figure")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    Console().print(table)
    Console().print(f"written to {REPORT}")


async def _run(url: str) -> dict[str, float]:
    async with platform_database(url) as dsn:
        pool = await open_pool(dsn, "bench/quota", PoolSettings(max_size=CONNECTIONS))
        users = await _users(pool)
        pairs = [await _pairs(pool, users, PAIRS) for _ in range(ROUNDS)]
        hot = [await _pairs(pool, users[:1], HOT_PAIRS) for _ in range(ROUNDS)]
        await pool.close()
    await drop_templates(url)
    return {
        "reserve_settle_pairs_per_s": round(statistics.median(pairs), 1),
        "one_hot_user_pairs_per_s": round(statistics.median(hot), 1),
    }


async def _users(pool: Pool) -> list[UUID]:
    """Users of the highest plan: nothing is refused, everything is counted."""
    rows = await pool.fetch(
        "INSERT INTO users (email, referral_code) SELECT n || '@example.com',"
        " translate(upper(lpad(to_hex(n), 8, '0')), '0189', 'XYZW') FROM generate_series(1, $1) AS n"
        " RETURNING id",
        USERS,
    )
    ids = [row["id"] for row in rows]
    await pool.execute(
        "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id, tier,"
        " status) SELECT id, 'stripe', id::text, 'price_max', 2, 'active' FROM users"
    )
    return ids


async def _pairs(pool: Pool, users: list[UUID], count: int) -> float:
    quotas = Quotas(pool)
    chosen = random.Random(5)
    left = iter(range(count))

    async def spend() -> None:
        for _ in left:
            held = await quotas.reserve(chosen.choice(users), "chat", subject=uuid4())
            await quotas.settle(held.id, 100)

    started = time.perf_counter()
    await asyncio.gather(*(spend() for _ in range(CONNECTIONS)))
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
