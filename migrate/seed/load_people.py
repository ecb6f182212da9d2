"""Fills the tables with made-up people, circle by circle, in one transaction; COPY only."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from migrate.seed.errors import AlreadySeededError
from migrate.seed.people.accounts import add_accounts
from migrate.seed.people.chance import Chance
from migrate.seed.people.chats import add_chats
from migrate.seed.people.circle import CIRCLE_PEOPLE, Circle, Part, email_of, make_circle
from migrate.seed.people.community import Crowd
from migrate.seed.people.figures import Metrics, add_figures
from migrate.seed.people.rows import COLUMNS, Rows, no_rows

#: Everybody has this password; it is written here so that anybody can sign in as anybody.
DEMO_PASSWORD = "demo-password"  # noqa: S105 - of made-up people only
_LOG2_N, _R, _P, _KEY_BYTES = 14, 8, 1, 32  # contract, 2.1: auth.login
_HEAD = 1000  # characters that people talk with: the best-known ones
_METRICS = """
INSERT INTO platform_metrics (day, metric, value) SELECT * FROM unnest($1::date[], $2::text[], $3::bigint[])
ON CONFLICT (day, metric) DO UPDATE SET value = platform_metrics.value + EXCLUDED.value
"""


@dataclass(frozen=True, slots=True)
class SeededPeople:
    """What was made: rows by table, and whether this seed was there already."""

    users: int
    random_seed: int
    rows: dict[str, int]
    was_there: bool = False


async def load_people(
    connection: asyncpg.Connection, users: int, random_seed: int, until: datetime
) -> SeededPeople:
    """Make `users` people whose last deed lies before `until`; nothing if they are there already.

    Raises AlreadySeededError when this random seed has made another number of people before.
    """
    there = await _count_there(connection, random_seed)
    if there == users:
        return SeededPeople(users, random_seed, {}, was_there=True)
    if there:
        raise AlreadySeededError(random_seed, there, users)
    cast = await _cast(connection)
    password_hash = hash_password(random_seed)
    counted: Counter[str] = Counter()
    metrics: Metrics = Counter()
    async with connection.transaction():
        for number, first in enumerate(range(0, users, CIRCLE_PEOPLE)):
            circle = make_circle(
                random_seed,
                number,
                min(CIRCLE_PEOPLE, users - first),
                until=until,
                cast=cast,
                password_hash=password_hash,
            )
            counted += await _copy(connection, make_rows(circle, metrics))
        await _add_metrics(connection, metrics)
    await connection.execute("ANALYZE")
    return SeededPeople(users, random_seed, dict(counted))


def make_rows(circle: Circle, metrics: Metrics) -> Rows:
    """All rows of one circle; adds its part to the platform's figures."""
    rows = no_rows()
    add_accounts(circle, rows)
    talked = add_chats(circle, rows)
    crowd = Crowd(circle, rows, talked)
    crowd.add_all()
    add_figures(circle, rows, talked, crowd, metrics)
    return rows


def hash_password(random_seed: int) -> str:
    """DEMO_PASSWORD as the contract stores passwords; one hash for all, for it costs 50 ms."""
    salt = Chance(random_seed, "salt").randbytes(16)
    key = hashlib.scrypt(
        DEMO_PASSWORD.encode(), salt=salt, n=2**_LOG2_N, r=_R, p=_P, dklen=_KEY_BYTES,
        maxmem=64 * 1024 * 1024,
    )  # fmt: skip
    text = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (salt, key)]
    return f"scrypt${_LOG2_N}${_R}${_P}${text[0]}${text[1]}"


async def _count_there(connection: asyncpg.Connection, random_seed: int) -> int:
    """How many people of this seed there are."""
    if not await connection.fetchval(
        "SELECT 1 FROM users WHERE lower(email) = lower($1)", email_of(random_seed, 0)
    ):
        return 0
    pattern = f"%.{random_seed}.%@example.com"
    count = await connection.fetchval("SELECT count(*) FROM users WHERE email LIKE $1", pattern)
    return int(count)


async def _cast(connection: asyncpg.Connection) -> Sequence[Part]:
    rows = await connection.fetch(
        "SELECT name, series FROM characters WHERE source = 'catalogue'"
        " ORDER BY popularity DESC, id LIMIT $1",
        _HEAD,
    )
    return [Part(row["name"], row["series"]) for row in rows]


async def _copy(connection: asyncpg.Connection, rows: Rows) -> Counter[str]:
    counted: Counter[str] = Counter()
    for table, columns in COLUMNS.items():
        if rows[table]:
            await connection.copy_records_to_table(table, records=rows[table], columns=columns)
            counted[table] = len(rows[table])
    return counted


async def _add_metrics(connection: asyncpg.Connection, metrics: Metrics) -> None:
    ordered = sorted(metrics.items())
    await connection.execute(
        _METRICS,
        [day for (day, _), _ in ordered],
        [metric for (_, metric), _ in ordered],
        [value for _, value in ordered],
    )
