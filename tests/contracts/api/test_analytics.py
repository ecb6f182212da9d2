"""Figures that events feed: stats, streaks, percentiles, conversations, the whole product."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from tests.contracts.api.effects import Workers
from tests.support.people import People, error_code, service_headers

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATS = "/api/analytics/users/me"
CHECK_IN = "/api/analytics/users/me/streak/check-in"


def today() -> date:
    return datetime.now(UTC).date()


async def test_without_a_row_every_figure_is_zero(people: People) -> None:
    ana = await people.new()
    assert (await ana.get(STATS)).json() == {
        "user_id": ana.id,
        "message_count": 0,
        "conversation_count": 0,
        "story_count": 0,
        "tokens_used": 0,
        "active_days": 0,
        "favourite_character": None,
        "engagement_tier": "casual",
        "xp": 0,
        "level": 1,
        "achievements": [],
    }
    rank = (await ana.get(f"{STATS}/percentile")).json()
    assert (rank["percentile"], rank["message_count"]) == (0, 0)


async def test_messages_stories_and_rooms_are_counted_once(
    people: People, events: Workers, database: asyncpg.Connection
) -> None:
    ana = await people.new(tier=2)
    first = await ana.talk("one", "Bob")
    await ana.talk("two", "Bob", conversation_id=first["conversation_id"])
    await ana.talk("three", "Eve")
    body = {"characters": ["A"], "title": "T", "content": "x"}
    story = (await ana.post("/api/story/drafts", json=body)).json()["id"]
    await ana.post(f"/api/story/stories/{story}/publish")
    await ana.post("/api/story/rooms", json={"name": "R"})
    await events.settle()
    await database.execute("UPDATE outbox SET sent_at = NULL")  # delivered again
    await events.settle()
    stats = (await ana.get(STATS)).json()
    assert (stats["message_count"], stats["conversation_count"], stats["story_count"]) == (3, 2, 1)
    assert (stats["xp"], stats["level"], stats["active_days"]) == (3 + 20, 1, 1)
    assert stats["favourite_character"] == "Bob"
    assert {a["code"] for a in stats["achievements"]} == {
        "first_message",
        "first_story",
        "room_host",
    }
    kinds = {n["kind"] for n in (await ana.get("/api/notifications")).json()["items"]}
    assert kinds == {"achievement"}
    page = (await ana.get("/api/conversation-stats?limit=1")).json()
    assert page["totals"]["conversations"] == 2
    assert page["totals"]["messages"] == 6
    rest = (await ana.get(f"/api/conversation-stats?cursor={page['next_cursor']}")).json()
    names = [c["character_name"] for c in page["items"] + rest["items"]]
    assert names == ["Eve", "Bob"]
    one = f"/api/conversation-stats?conversation_id={first['conversation_id']}"
    assert (await ana.get(one)).json()["totals"]["messages"] == 4


async def test_deleted_messages_and_conversations_leave_the_figures(
    people: People, events: Workers, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    reply = await ana.talk("one")
    await events.settle()
    await ana.delete(f"/api/chat/messages/{reply['message_id']}")
    await events.settle()
    path = "/api/conversation-stats"
    assert (await ana.get(path)).json()["items"][0]["message_count"] == 1
    await ana.talk("late", conversation_id=reply["conversation_id"])
    late = await database.fetchval("SELECT id FROM outbox WHERE sent_at IS NULL")
    await database.execute(
        "UPDATE outbox SET deliver_after = now() + interval '1 hour' WHERE id = $1", late
    )
    await ana.delete(f"/api/chat/conversations/{reply['conversation_id']}")
    await events.settle()
    await database.execute("UPDATE outbox SET deliver_after = NULL")
    await events.settle()
    assert (await ana.get(path)).json()["items"] == []


async def test_a_check_in_counts_once_a_day_and_earns_at_milestones(
    people: People, events: Workers, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await database.execute(
        "INSERT INTO user_streaks (user_id, current_days, longest_days, last_check_in)"
        " VALUES ($1, 6, 9, $2)",
        ana.id,
        today() - timedelta(days=1),
    )
    assert (await ana.get(f"{STATS}/streak")).json() == {
        "current": 6,
        "longest": 9,
        "last_check_in": str(today() - timedelta(days=1)),
        "checked_in_today": False,
        "next_milestone": {"day": 7, "bonus": 3},
    }
    answers = await asyncio.gather(*(ana.post(CHECK_IN) for _ in range(3)))
    bodies = [answer.json() for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["reward"] == {"quota_type": "chat", "amount": 3}
    assert (bodies[0]["current"], bodies[0]["longest"]) == (7, 9)
    assert bodies[0]["next_milestone"] == {"day": 14, "bonus": 5}
    await events.settle()
    chat = (await ana.get("/api/payments/quotas")).json()["quotas"]["chat"]
    assert chat["bonus"] == 3
    stats = (await ana.get(STATS)).json()
    assert (stats["xp"], [a["code"] for a in stats["achievements"]]) == (5, ["week_streak"])
    kinds = sorted(n["kind"] for n in (await ana.get("/api/notifications")).json()["items"])
    assert kinds == ["achievement", "streak"]


async def test_a_missed_day_starts_a_streak_again(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    await database.execute(
        "INSERT INTO user_streaks VALUES ($1, 6, 6, $2)", ana.id, today() - timedelta(days=2)
    )
    assert (await ana.get(f"{STATS}/streak")).json()["current"] == 0
    again = (await ana.post(CHECK_IN)).json()
    assert (again["current"], again["longest"], again["reward"]) == (1, 6, None)


@pytest.mark.everybody
async def test_the_percentile_counts_people_with_fewer_messages(
    people: People, database: asyncpg.Connection
) -> None:
    counts = [1, 2, 2, 5, 0]
    persons = [await people.new() for _ in counts]
    for person, count in zip(persons, counts, strict=True):
        await database.execute(
            "INSERT INTO user_analytics (user_id, message_count) VALUES ($1, $2)", person.id, count
        )
    shown = [(await p.get(f"{STATS}/percentile")).json() for p in persons]
    assert [s["percentile"] for s in shown] == [0, 33, 33, 100, 0]
    assert {s["population"] for s in shown} == {4}


@pytest.mark.everybody
async def test_the_platform_figures_have_every_day_and_distinct_users(
    client: httpx.AsyncClient, people: People, database: asyncpg.Connection, events: Workers
) -> None:
    ana = await people.new()
    await ana.talk("hi")
    for day in (today(), today() - timedelta(days=2)):
        await database.execute(
            "INSERT INTO user_daily_activity (user_id, day) VALUES ($1, $2)", ana.id, day
        )
    money = [("succeeded", 999, "usd"), ("refunded", 99, "usd"), ("succeeded", 5, "eur")]
    for kind, amount, currency in money:
        await database.execute(
            "SELECT emit_event($1, $2, jsonb_build_object('amount', $3::int, 'currency', $4::text,"
            " 'provider', 'stripe', 'provider_ref', 'in_1'), 'payments')",
            f"payment.{kind}",
            ana.id,
            amount,
            currency,
        )
    await events.settle()
    path = f"/api/analytics/platform?from={today() - timedelta(days=2)}&to={today()}"
    figures = (await client.get(path, headers=service_headers())).json()
    assert (figures["from"], figures["to"]) == (str(today() - timedelta(days=2)), str(today()))
    assert [d["day"] for d in figures["days"]] == [
        str(today() - timedelta(days=n)) for n in (2, 1, 0)
    ]
    assert [d["active_users"] for d in figures["days"]] == [1, 0, 1]
    assert figures["totals"]["active_users"] == 1
    assert figures["totals"]["messages"] == figures["days"][2]["messages"] == 1
    assert figures["totals"]["revenue"] == 900


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("to=2025-01-01", "query.from"),
        ("from=2025-01-02&to=2025-01-01", "query.to"),
        ("from=2025-01-01&to=2025-04-03", "query.to"),
        ("from=20250101&to=2025-01-01", "query.from"),
        ("from=2025-02-30&to=2025-03-01", "query.from"),
    ],
)
async def test_wrong_days_are_named(client: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"/api/analytics/platform?{query}", headers=service_headers())
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == [field]
    whole = "/api/analytics/platform?from=2025-01-01&to=2025-04-02"
    assert len((await client.get(whole, headers=service_headers())).json()["days"]) == 92


@pytest.mark.parametrize(
    "event",
    [
        {"name": "Bad"},
        {"name": "x" * 65},
        {"name": "a", "properties": {"x": "y" * 2100}},
        {"name": "a", "occurred_at": "2020-01-01T00:00:00Z"},
        {"name": "a", "occurred_at": "yesterday"},
    ],
)
async def test_one_bad_entry_refuses_the_batch(
    people: People, database: asyncpg.Connection, event: dict[str, Any]
) -> None:
    body = {"events": [{"name": "good"}, event]}
    answer = await (await people.new()).post("/api/analytics/events", json=body)
    assert (answer.status_code, error_code(answer)) == (422, "VALIDATION_ERROR")
    assert await database.fetchval("SELECT count(*) FROM engagement_events") == 0


async def test_a_conversation_completes_once_per_pause(
    people: People, events: Workers, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    reply = await ana.talk("one")
    await events.run("completed")
    await database.execute(
        "UPDATE conversations SET last_message_at = now() - interval '31 minutes',"
        " created_at = now() - interval '40 minutes'"
    )
    for _ in range(2):
        await events.run("completed")
    await ana.talk("two", conversation_id=reply["conversation_id"])
    await events.run("completed")
    kind = "conversation.completed"
    assert await database.fetchval("SELECT count(*) FROM outbox WHERE type = $1", kind) == 1
    await events.settle()
    rows = await database.fetch("SELECT name, properties FROM engagement_events")
    assert [row["name"] for row in rows] == ["conversation_completed"]
