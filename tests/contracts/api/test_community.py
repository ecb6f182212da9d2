"""Stories, rooms, scenarios, votes, characters, notifications."""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg
import httpx
import pytest

from tests.contracts.api.effects import Workers
from tests.support.people import People, Person, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

DRAFTS, STORIES, ROOMS = "/api/story/drafts", "/api/story/stories", "/api/story/rooms"


async def draft(person: Person, **more: Any) -> dict[str, Any]:
    body = {"characters": ["Ana"], "title": "T", "content": "Once.", **more}
    answer = await person.post(DRAFTS, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def publish(person: Person, **more: Any) -> str:
    story = str((await draft(person, **more))["id"])
    assert (await person.post(f"{STORIES}/{story}/publish")).status_code == 200
    return story


async def test_a_story_is_written_for_a_quota_or_stored_for_free(people: People) -> None:
    ana = await people.new()
    body = {"characters": ["Ana", "Bob"], "universe": "Mars", "scenario": {"tone": "dark"}}
    written = (await ana.post(DRAFTS, json=body)).json()
    assert written["title"] == "Ana in Mars"
    assert written["content"] == "Ana in Mars\n\nA story with Ana, Bob."
    assert written["scenario"] == {"setting": "", "tone": "dark", "themes": []}
    assert written["author"] == {"user_id": ana.id, "name": "Ana", "avatar_url": None}
    assert (written["remaining_quota"], written["published"]) == (2, False)
    own = await draft(ana)
    assert (own["content"], own["remaining_quota"]) == ("Once.", 2)
    untitled = await ana.post(DRAFTS, json={"characters": ["A"], "content": "x"})
    assert [f["path"] for f in untitled.json()["error"]["details"]["fields"]] == ["body.title"]
    for text, code in (("[[reject]]", "CONTENT_REJECTED"), ("[[fail]]", "PROVIDER_ERROR")):
        answer = await ana.post(DRAFTS, json={"characters": [text]})
        assert error_code(answer) == code
    assert (await ana.get("/api/payments/quotas")).json()["quota_story"] == 2


async def test_a_story_may_name_an_own_conversation_only(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    conversation = (await ana.talk())["conversation_id"]
    assert (await draft(ana, conversation_id=conversation))["conversation_id"] == conversation
    body = {"characters": ["A"], "title": "T", "content": "x", "conversation_id": conversation}
    answer = await ben.post(DRAFTS, json=body)
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == [
        "body.conversation_id"
    ]


async def test_drafts_are_private_until_they_are_published_once(
    people: People, client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    ana, ben = await people.new(), await people.new()
    story = (await draft(ana, content="x" * 300))["id"]
    path = f"{STORIES}/{story}"
    assert (await client.get(path)).status_code == 404
    assert (await ben.get(path)).status_code == 404
    assert (await ana.get(path)).status_code == 200
    assert (await ben.post(f"{path}/publish")).status_code == 404
    first = (await ana.post(f"{path}/publish")).json()
    again = (await ana.post(f"{path}/publish")).json()
    assert first["published_at"] == again["published_at"]
    kinds = [r["type"] for r in await database.fetch("SELECT type FROM outbox ORDER BY id")]
    assert kinds == ["story.created", "story.published"]
    listed = (await client.get(STORIES)).json()["items"][0]
    assert (listed["excerpt"], "content" in listed) == ("x" * 280, False)


@pytest.mark.everybody
async def test_stories_are_listed_by_time_by_likes_and_by_author(
    people: People, client: httpx.AsyncClient
) -> None:
    ana, ben = await people.new(), await people.new()
    first, second = await publish(ana, title="1"), await publish(ben, title="2")
    await draft(ana, title="3")
    for person in (ana, ben):
        liked = await person.put(f"{STORIES}/{first}/like", json={})
    assert liked.json() == {"story_id": first, "liked": True, "like_count": 2}
    page = (await client.get(f"{STORIES}?limit=1")).json()
    assert [s["id"] for s in page["items"]] == [second]
    rest = (await client.get(f"{STORIES}?cursor={page['next_cursor']}")).json()
    assert [s["id"] for s in rest["items"]] == [first]
    top = (await ana.get(f"{STORIES}?sort=top&limit=1")).json()
    assert [(s["id"], s["liked_by_me"]) for s in top["items"]] == [(first, True)]
    rest = (await ana.get(f"{STORIES}?sort=top&cursor={top['next_cursor']}")).json()
    assert [s["id"] for s in rest["items"]] == [second]
    mine = (await ana.get(f"{STORIES}?mine=true")).json()["items"]
    assert [s["title"] for s in mine] == ["3", "1"]
    assert (await client.get(f"{STORIES}?mine=true")).json()["items"] == []


async def test_likes_count_once_and_tell_the_author(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    story = await publish(ana)
    path = f"{STORIES}/{story}/like"
    for liked, count in ((True, 1), (True, 1), (False, 0), (False, 0), (True, 1)):
        answer = await ben.put(path, json={"liked": liked})
        assert answer.json()["like_count"] == count
    notices = (await ana.get("/api/notifications")).json()
    assert [n["kind"] for n in notices["items"]] == ["story_like"]
    secret = (await draft(ana))["id"]
    assert (await ana.put(f"{STORIES}/{secret}/like", json={})).status_code == 404


async def test_only_what_was_sent_changes_in_a_story(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    story = await publish(ana, universe="U", scenario={"tone": "dark"})
    path = f"{STORIES}/{story}"
    changed = (await ana.patch(path, json={"title": "New", "characters": ["X", "Y"]})).json()
    assert (changed["title"], changed["characters"], changed["universe"]) == (
        "New",
        ["X", "Y"],
        "U",
    )
    assert changed["scenario"]["tone"] == "dark"
    scenario = (await ana.patch(path, json={"scenario": {"setting": "S"}})).json()["scenario"]
    assert scenario == {"setting": "S", "tone": "", "themes": []}
    assert error_code(await ana.patch(path, json={"content": "[[reject]]"})) == "CONTENT_REJECTED"
    assert (await ana.patch(path, json={"title": None})).status_code == 422
    assert (await ben.patch(path, json={"title": "x"})).status_code == 404
    assert (await ben.delete(path)).status_code == 404
    await ben.put("/api/story/votes", json={"target_type": "story", "target_id": story, "value": 1})
    assert (await ana.delete(path)).status_code == 204
    assert (await ana.get(path)).status_code == 404


async def test_a_room_is_joined_by_its_code_until_it_is_full(people: People) -> None:
    ana, ben, eve = await people.new(), await people.new(), await people.new()
    room = (await ana.post(ROOMS, json={"name": "R", "settings": {"max_members": 2}})).json()
    code = room["join_code"]
    assert (room["member_count"], room["is_member"], room["referral_code"]) == (1, True, code)
    assert room["settings"] == {"is_public": False, "max_members": 2}
    assert (await ben.get(f"{ROOMS}/{room['id']}")).status_code == 404
    joined = (await ben.post(f"{ROOMS}/join", json={"code": code.lower()})).json()
    assert (joined["member_count"], joined["join_code"]) == (2, code)
    assert (await ben.post(f"{ROOMS}/join", json={"code": code})).json()["member_count"] == 2
    full = await eve.post(f"{ROOMS}/join", json={"code": code})
    assert (full.status_code, error_code(full)) == (409, "ROOM_FULL")
    assert (await eve.post(f"{ROOMS}/join", json={"code": "AAAAAAAA"})).status_code == 404
    assert (await eve.post(f"{ROOMS}/join", json={"code": "1"})).status_code == 422
    notices = (await ana.get("/api/notifications")).json()["items"]
    assert [(n["kind"], n["data"]["room_id"]) for n in notices] == [("room_join", room["id"])]


async def test_rooms_are_inherited_and_end_with_their_last_member(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    room = (await ana.post(ROOMS, json={"name": "R", "settings": {"is_public": True}})).json()
    await ben.post(f"{ROOMS}/join", json={"code": room["join_code"]})
    path = f"{ROOMS}/{room['id']}"
    members = (await ben.get(f"{path}/members?limit=1")).json()
    rest = (await ben.get(f"{path}/members?cursor={members['next_cursor']}")).json()
    assert [(m["user"]["user_id"], m["role"]) for m in members["items"] + rest["items"]] == [
        (ana.id, "owner"),
        (ben.id, "member"),
    ]
    assert (await ana.delete(f"{path}/members/me")).status_code == 204
    assert (await ana.delete(f"{path}/members/me")).status_code == 204
    shown = (await ana.get(path)).json()
    assert (shown["is_member"], shown["join_code"], shown["member_count"]) == (False, None, 1)
    refused = await ana.get(f"{path}/members")
    assert (refused.status_code, error_code(refused)) == (403, "FORBIDDEN")
    assert (await ana.get(f"{path}/messages")).status_code == 403
    assert (await ben.get(f"{path}/members")).json()["items"][0]["role"] == "owner"
    assert (await ben.delete(f"{path}/members/me")).status_code == 204
    assert (await ben.delete(f"{path}/members/me")).status_code == 404


async def test_rooms_are_listed_by_joining_or_by_age(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    codes = []
    for number in range(3):
        body = {"name": f"R{number}", "settings": {"is_public": number > 0}}
        codes.append((await ana.post(ROOMS, json=body)).json()["join_code"])
    for code in (codes[2], codes[0]):
        await ben.post(f"{ROOMS}/join", json={"code": code})
    assert [r["name"] for r in (await ben.get(ROOMS)).json()["items"]] == ["R0", "R2"]
    page = (await ben.get(f"{ROOMS}?scope=public&limit=1")).json()
    rest = (await ben.get(f"{ROOMS}?scope=public&cursor={page['next_cursor']}")).json()
    assert [r["name"] for r in page["items"] + rest["items"]][:2] == ["R2", "R1"]


async def test_scenarios_are_rated_by_votes(people: People) -> None:
    ana, ben, eve = await people.new(), await people.new(), await people.new()
    path = "/api/story/scenarios"
    hidden = (await ana.post(path, json={"title": "H", "characters": ["A"]})).json()
    assert (hidden["rating"], hidden["is_public"]) == (None, False)
    shown = (await ana.post(path, json={"title": "P", "is_public": True})).json()
    votes = "/api/story/votes"
    for person, value in ((ana, 1), (ben, 1), (eve, -1)):
        body = {"target_type": "scenario", "target_id": shown["id"], "value": value}
        voted = await person.put(votes, json=body)
    assert {k: voted.json()[k] for k in ("value", "score", "up", "down")} == {
        "value": -1,
        "score": 1,
        "up": 2,
        "down": 1,
    }
    listed = (await ben.get(path)).json()["items"]
    assert (listed[0]["title"], listed[0]["rating"]) == ("P", 3.33)
    assert "H" not in {s["title"] for s in listed}
    assert len((await ana.get(f"{path}?scope=mine")).json()["items"]) == 2
    body = {"target_type": "scenario", "target_id": shown["id"], "value": "0"}
    assert (await eve.put(votes, json=body)).json()["score"] == 2
    for target in (hidden["id"], str(uuid.uuid4())):
        body = {"target_type": "scenario", "target_id": target, "value": 1}
        assert (await ben.put(votes, json=body)).status_code == 404
    assert error_code(await ana.post(path, json={"title": "[[reject]]"})) == "CONTENT_REJECTED"


async def test_a_published_character_appears_in_the_catalogue(
    people: People, client: httpx.AsyncClient, events: Workers
) -> None:
    ana = await people.new()
    image = await ana.upload()
    path = "/api/story/characters"
    body = {
        "name": "Zorblax",
        "universe": "Mars",
        "image_media_id": image["id"],
        "publish": True,
    }
    made = (await ana.post(path, json=body)).json()
    assert made["image_url"].endswith(f"/api/images/{image['id']}/content")
    assert made["published"] is True
    await events.settle()
    found = (await client.get(f"/api/resources/characters/{made['id']}")).json()
    assert (found["source"], found["series"], found["creator_id"]) == ("community", "Mars", ana.id)
    stranger = await ana.post(path, json={"name": "x", "image_media_id": str(uuid.uuid4())})
    assert [f["path"] for f in stranger.json()["error"]["details"]["fields"]] == [
        "body.image_media_id"
    ]


async def test_notifications_are_read_one_by_one_or_all_at_once(
    people: People, events: Workers, database: asyncpg.Connection
) -> None:
    ana, ben = await people.new(), await people.new()
    for number in range(3):
        await database.execute(
            "INSERT INTO notifications (user_id, kind, title, dedupe_key)"
            " VALUES ($1, 'welcome', 'Hi', $2)",
            ana.id,
            str(number),
        )
    page = (await ana.get("/api/notifications?limit=2")).json()
    assert (page["unread_count"], page["has_more"], len(page["items"])) == (3, True, 2)
    path = "/api/notifications/read"
    ids = [item["id"] for item in page["items"]]
    assert (await ben.post(path, json={"ids": ids})).json() == {"updated": 0, "unread_count": 0}
    assert (await ana.post(path, json={"ids": ids})).json() == {"updated": 2, "unread_count": 1}
    assert len((await ana.get("/api/notifications?unread=true")).json()["items"]) == 1
    assert (await ana.post(path, json={"all": True})).json() == {"updated": 1, "unread_count": 0}
    for body in ({}, {"all": True, "ids": ids}, {"all": False}, {"ids": []}):
        assert (await ana.post(path, json=body)).status_code == 422


async def test_reported_views_raise_counters(people: People, events: Workers) -> None:
    ana = await people.new()
    story = await publish(ana)
    reports = [
        {"name": "story_view", "properties": {"story_id": story}},
        {"name": "story_view", "properties": {"story_id": "nonsense"}},
        {"name": "app_open"},
    ]
    answer = await ana.post("/api/analytics/events", json={"events": reports})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 3})
    await events.settle()
    assert (await ana.get(f"{STORIES}/{story}")).json()["view_count"] == 1
