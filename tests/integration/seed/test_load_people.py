from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from migrate.seed.catalogue import read_catalogue
from migrate.seed.errors import AlreadySeededError
from migrate.seed.load_catalogue import load_catalogue
from migrate.seed.load_people import DEMO_PASSWORD, load_people
from monolith.auth.passwords import Passwords
from tests.support.platform_database import platform_database

UNTIL = datetime(2025, 6, 1, tzinfo=UTC)
#: Statements that count rows which contradict each other.
CONTRADICTIONS = {
    "messages of a conversation": "SELECT count(*) FROM conversations c WHERE message_count <>"
    " (SELECT count(*) FROM messages m WHERE m.conversation_id = c.id)",
    "seq without gaps": "SELECT count(*) FROM (SELECT max(seq) AS last, count(*) AS n"
    " FROM messages GROUP BY conversation_id) x WHERE last <> n",
    "likes of a story": "SELECT count(*) FROM stories s WHERE like_count <>"
    " (SELECT count(*) FROM story_likes l WHERE l.story_id = s.id)",
    "own likes": "SELECT count(*) FROM stories s JOIN story_likes l ON l.story_id = s.id"
    " AND l.user_id = s.user_id",
    "members of a room": "SELECT count(*) FROM fandom_rooms r WHERE member_count <>"
    " (SELECT count(*) FROM room_members m WHERE m.room_id = r.id)",
    "one owner": "SELECT count(*) FROM fandom_rooms r WHERE (SELECT count(*) FROM room_members m"
    " WHERE m.room_id = r.id AND role = 'owner' AND m.user_id = r.creator_id) <> 1",
    "room messages of strangers": "SELECT count(*) FROM room_messages g WHERE NOT EXISTS (SELECT 1"
    " FROM room_members m WHERE m.room_id = g.room_id AND m.user_id = g.user_id)",
    "published characters": "SELECT count(*) FROM community_characters c WHERE published <>"
    " EXISTS (SELECT 1 FROM characters x WHERE x.id = c.id AND x.creator_id = c.creator_id)",
    "messages of a user": "SELECT count(*) FROM user_analytics a WHERE message_count <>"
    " (SELECT count(*) FROM messages m JOIN conversations c ON c.id = m.conversation_id"
    " WHERE c.user_id = a.user_id AND m.role = 'user')",
    "messages of a day": "SELECT count(*) FROM user_analytics a WHERE message_count <>"
    " (SELECT sum(messages) FROM user_daily_activity d WHERE d.user_id = a.user_id)",
    "conversation stats": "SELECT count(*) FROM conversation_stats s JOIN conversations c"
    " ON c.id = s.conversation_id WHERE s.message_count <> c.message_count"
    " OR s.token_count <> c.token_count OR s.user_id <> c.user_id",
    "bonus": "SELECT count(*) FROM user_quotas q WHERE quota_type = 'chat' AND bonus <>"
    " (SELECT coalesce(sum(amount), 0) FROM quota_grants g WHERE g.user_id = q.user_id)",
    "more than the plan allows": "SELECT count(*) FROM quota_status WHERE used > limit_amount",
}


@pytest.fixture
async def dsn(postgres_url: str) -> AsyncIterator[str]:
    async with platform_database(postgres_url) as dsn:
        yield dsn


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    await load_catalogue(connection, read_catalogue())
    yield connection
    await connection.close()


async def test_rows_of_all_people_agree_with_each_other(connection: asyncpg.Connection) -> None:
    made = await load_people(connection, 700, 3, UNTIL)  # two circles
    assert made.rows["users"] == 700
    assert made.rows["messages"] > 30_000
    found = {name: await connection.fetchval(sql) for name, sql in CONTRADICTIONS.items()}
    assert found == dict.fromkeys(CONTRADICTIONS, 0)


async def test_the_same_people_are_not_made_twice(connection: asyncpg.Connection) -> None:
    await load_people(connection, 20, 3, UNTIL)
    count = await connection.fetchval("SELECT count(*) FROM messages")
    again = await load_people(connection, 20, 3, UNTIL)
    assert again.was_there
    with pytest.raises(AlreadySeededError) as caught:
        await load_people(connection, 30, 3, UNTIL)
    assert (caught.value.there, caught.value.wanted) == (20, 30)
    assert await connection.fetchval("SELECT count(*) FROM messages") == count
    other = await load_people(connection, 30, 33, UNTIL)
    assert other.rows["users"] == 30


async def test_everybody_can_sign_in_with_the_demo_password(
    connection: asyncpg.Connection,
) -> None:
    await load_people(connection, 5, 1, UNTIL)
    stored = await connection.fetch("SELECT DISTINCT password_hash FROM users")
    assert len(stored) == 1
    assert await Passwords().verify(DEMO_PASSWORD, stored[0]["password_hash"])


async def test_two_databases_get_the_same_people(
    connection: asyncpg.Connection, postgres_url: str
) -> None:
    async with platform_database(postgres_url) as other_dsn:
        other = await asyncpg.connect(other_dsn)
        await load_catalogue(other, read_catalogue())
        digests = []
        for each in (connection, other):
            await load_people(each, 40, 9, UNTIL)
            digests.append(
                await each.fetchval(
                    "SELECT md5(string_agg(m::text, '' ORDER BY id)) FROM messages m"
                )
            )
        await other.close()
    assert digests[0] == digests[1]


def test_the_command_prints_what_it_has_made(dsn: str) -> None:
    command = [
        sys.executable, "-m", "migrate.cli", "seed", "--database", dsn, "--users", "10",
        "--random-seed", "4", "--until", "2025-06-01", "--json",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    printed = json.loads(done.stdout)
    assert [table["table"] for table in printed["tables"]] == ["titles", "actors", "characters"]
    assert printed["people"]["rows"]["users"] == 10
