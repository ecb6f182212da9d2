"""Conversations: talking, history, messages, voice, pictures."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any

import asyncpg
import pytest

from tests.contracts.api.effects import Workers
from tests.support.people import PNG, People, Person, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

TALK = "/api/chat/talk_with"


async def quota(person: Person, name: str = "chat") -> dict[str, Any]:
    quotas: dict[str, Any] = (await person.get("/api/payments/quotas")).json()["quotas"]
    return dict(quotas[name])


async def test_a_first_message_opens_a_conversation_and_costs_one_unit(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new()
    reply = await ana.talk("hello", "Sherlock", series="Holmes")
    assert reply["response"] == "Sherlock heard: hello"
    assert reply["remaining_quota"] == 4
    assert reply["model"] == "claude-3-haiku"
    assert reply["tokens"] == -(-len("hello" + "Sherlock heard: hello") // 4)
    assert reply["follow_up_questions"] == [
        "What happens next?",
        "How do you feel about that?",
        "Who else is involved?",
    ]
    again = await ana.talk("more", "Watson", conversation_id=reply["conversation_id"])
    assert again["response"] == "Sherlock heard: more"
    assert again["remaining_quota"] == 4
    rows = await database.fetch("SELECT seq, role, sender FROM messages ORDER BY seq")
    assert [tuple(row) for row in rows] == [
        (1, "user", "user"),
        (2, "assistant", "Sherlock"),
        (3, "user", "user"),
        (4, "assistant", "Sherlock"),
    ]
    page = (await ana.get("/api/chat/conversations")).json()
    assert page["items"][0]["title"] == "Sherlock"
    assert page["items"][0]["character_series"] == "Holmes"
    assert page["items"][0]["message_count"] == 4
    kinds = [r["type"] for r in await database.fetch("SELECT type FROM outbox ORDER BY id")]
    assert kinds == ["conversation.created", "message.sent", "message.sent"]


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("[[fail]]", 502, "PROVIDER_ERROR"),
        ("[[fail-mid]]", 502, "PROVIDER_ERROR"),
        ("[[timeout]]", 504, "PROVIDER_TIMEOUT"),
        ("[[reject]]", 422, "CONTENT_REJECTED"),
    ],
)
async def test_a_failed_reply_stores_nothing_and_costs_nothing(
    people: People, database: asyncpg.Connection, message: str, status: int, code: str
) -> None:
    ana = await people.new()
    answer = await ana.post(TALK, json={"message": message, "character": "Ana"})
    assert (answer.status_code, error_code(answer)) == (status, code)
    if code.startswith("PROVIDER"):
        assert answer.json()["error"]["details"] == {"provider_kind": "model"}
    assert await database.fetchval("SELECT count(*) FROM conversations") == 0
    assert (await quota(ana))["remaining"] == 5


async def test_parallel_messages_never_spend_more_than_the_quota(people: People) -> None:
    ana = await people.new()
    answers = await asyncio.gather(
        *(ana.post(TALK, json={"message": "x", "character": f"C{n}"}) for n in range(8))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 5 + [402] * 3
    refused = next(answer for answer in answers if answer.status_code == 402)
    assert error_code(refused) == "INSUFFICIENT_QUOTA"
    details = refused.json()["error"]["details"]
    assert {k: details[k] for k in details if k != "resets_at"} == {
        "quota_type": "chat",
        "remaining": 0,
        "limit": 5,
        "current_tier": 0,
        "upgrade_to": 1,
    }
    assert (await quota(ana))["used"] == 5


async def test_premium_models_need_a_tier_and_have_their_own_quota(people: People) -> None:
    ana, max_ = await people.new(), await people.new(tier=2)
    answer = await ana.post(TALK, json={"message": "x", "character": "A", "model": "gpt-4o"})
    assert (answer.status_code, error_code(answer)) == (402, "INSUFFICIENT_TIER")
    await people.subscribe(ana.id, 1)
    reply = await ana.talk("x", "A", model="gpt-4o")
    assert (reply["remaining_quota"], reply["model"]) == (99, "gpt-4o")
    assert (await quota(ana))["used"] == 0
    assert (await max_.talk("x", "A", model="gpt-4o"))["remaining_quota"] == -1
    unknown = await ana.post(TALK, json={"message": "x", "character": "A", "model": "gpt-9"})
    assert [f["path"] for f in unknown.json()["error"]["details"]["fields"]] == ["body.model"]


async def test_a_conversation_must_be_known_own_and_of_the_right_kind(people: People) -> None:
    ana, ben = await people.new(), await people.new()
    own = (await ana.talk())["conversation_id"]
    for person, conversation in ((ana, str(uuid.uuid4())), (ben, own)):
        answer = await person.post(TALK, json={"message": "x", "conversation_id": conversation})
        assert (answer.status_code, error_code(answer)) == (404, "NOT_FOUND")
    missing = await ana.post(TALK, json={"message": "x"})
    assert [f["path"] for f in missing.json()["error"]["details"]["fields"]] == ["body.character"]
    as_group = await ana.post(f"/api/chat/group/{own}/talk", json={"message": "x"})
    assert (as_group.status_code, error_code(as_group)) == (409, "CONFLICT")


async def test_a_group_answers_in_order_for_one_unit(people: People) -> None:
    ana = await people.new()
    body = {"participants": [{"name": "A"}, {"name": "B", "series": "S"}]}
    group = (await ana.post("/api/chat/group", json=body)).json()
    assert (group["title"], group["conversation_type"]) == ("A & B", "group")
    assert group["participants"] == [{"name": "A", "series": ""}, {"name": "B", "series": "S"}]
    reply = (await ana.post(f"/api/chat/group/{group['id']}/talk", json={"message": "yo"})).json()
    assert [(r["character"], r["response"]) for r in reply["responses"]] == [
        ("A", "A heard: yo"),
        ("B", "B heard: yo"),
    ]
    assert reply["remaining_quota"] == 4
    single = await ana.post(TALK, json={"message": "x", "conversation_id": group["id"]})
    assert error_code(single) == "CONFLICT"
    twins = {"participants": [{"name": "A"}, {"name": " A "}]}
    refused = await ana.post("/api/chat/group", json=twins)
    assert [f["path"] for f in refused.json()["error"]["details"]["fields"]] == [
        "body.participants"
    ]


async def test_history_runs_both_ways_and_shows_only_pinned_ones_on_request(
    people: People,
) -> None:
    ana, ben = await people.new(), await people.new()
    conversation = (await ana.talk("one"))["conversation_id"]
    await ana.talk("two", conversation_id=conversation)
    path = f"/api/chat/conversations/{conversation}/messages"
    page = (await ana.get(f"{path}?limit=3")).json()
    assert [m["seq"] for m in page["items"]] == [4, 3, 2]
    assert page["conversation"]["id"] == conversation
    rest = (await ana.get(f"{path}?limit=3&cursor={page['next_cursor']}")).json()
    assert [m["seq"] for m in rest["items"]] == [1]
    ascending = (await ana.get(f"{path}?order=asc")).json()["items"]
    assert [m["content"] for m in ascending] == ["one", "Ana heard: one", "two", "Ana heard: two"]
    assert ascending[1]["metadata"]["model"] == "claude-3-haiku"
    await ana.put(f"/api/chat/messages/{ascending[0]['id']}/pin", json={})
    pinned = (await ana.get(f"{path}?pinned=true")).json()["items"]
    assert [m["seq"] for m in pinned] == [1]
    assert (await ben.get(path)).status_code == 404


async def test_conversations_can_be_filtered_and_paged(people: People) -> None:
    ana = await people.new()
    for name in ("Bob", "bOb", "Eve"):
        await ana.talk("x", name)
    body = {"participants": [{"name": "A"}, {"name": "B"}]}
    await ana.post("/api/chat/group", json=body)
    base = "/api/chat/conversations"
    for query, count in (("type=group", 1), ("type=single", 3), ("character=BOB", 2)):
        assert len((await ana.get(f"{base}?{query}")).json()["items"]) == count
    seen, cursor = [], ""
    while cursor is not None:
        page = (await ana.get(f"{base}?limit=1{cursor and '&cursor=' + cursor}")).json()
        seen += [item["title"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["A & B", "Eve", "bOb", "Bob"]


async def test_messages_can_be_edited_liked_pinned_and_deleted_by_their_owner(
    people: People, database: asyncpg.Connection
) -> None:
    ana, ben = await people.new(), await people.new()
    reply = await ana.talk("x")
    mine = f"/api/chat/messages/{reply['user_message_id']}"
    theirs = f"/api/chat/messages/{reply['message_id']}"
    edited = (await ana.patch(mine, json={"content": "y"})).json()
    assert edited["content"] == "y"
    assert edited["edited_at"] is not None
    assert error_code(await ana.patch(theirs, json={"content": "y"})) == "FORBIDDEN"
    assert error_code(await ana.patch(mine, json={"content": "[[reject]]"})) == "CONTENT_REJECTED"
    assert (await ben.patch(mine, json={"content": "y"})).status_code == 404
    for reaction in ("like", "dislike", None):
        liked = await ana.put(f"{theirs}/reaction", json={"reaction_type": reaction})
        assert liked.json()["reaction"] == reaction
    own = await ana.put(f"{mine}/reaction", json={"reaction_type": "like"})
    assert error_code(own) == "FORBIDDEN"
    assert (await ana.put(f"{mine}/pin", json={})).json()["pinned"] is True
    assert (await ana.put(f"{mine}/pin", json={"pinned": False})).json()["pinned"] is False
    assert (await ana.delete(mine)).status_code == 204
    assert (await ana.delete(mine)).status_code == 404
    conversation = (await ana.get("/api/chat/conversations")).json()["items"][0]
    assert conversation["message_count"] == 1
    path = f"/api/chat/conversations/{conversation['id']}"
    assert (await ben.delete(path)).status_code == 404
    assert (await ana.delete(path)).status_code == 204
    assert await database.fetchval("SELECT count(*) FROM messages") == 0


async def test_a_conversation_can_be_taken_along_as_a_file(people: People) -> None:
    ana = await people.new()
    conversation = (await ana.talk("hello"))["conversation_id"]
    path = f"/api/chat/conversations/{conversation}/export"
    text = await ana.get(path)
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.headers["content-disposition"] == (
        f'attachment; filename="conversation-{conversation}.txt"'
    )
    moment = (await ana.get("/api/chat/conversations")).json()["items"][0]["created_at"]
    assert text.text == f"Ana\n\n[{moment}] user: hello\n[{moment}] Ana: Ana heard: hello\n"
    whole = (await ana.get(f"{path}?format=json")).json()
    assert [m["content"] for m in whole["messages"]] == ["hello", "Ana heard: hello"]
    pdf = await ana.get(f"{path}?format=pdf")
    assert (pdf.headers["content-type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")


async def test_voice_is_paid_by_the_started_minute(people: People) -> None:
    ana = await people.new()
    path = "/api/chat/voice/transcribe"
    sound = b"ID3" + b"x" * 20
    heard = await ana.post(path, files={"audio": ("a", sound)}, data={"duration_ms": "60001"})
    assert heard.json() == {
        "text": "transcript of 23 bytes",
        "language": "en",
        "duration_ms": 60001,
        "remaining_quota": 8,
    }
    spoken = await ana.post("/api/chat/voice/speak", json={"text": "x" * 1001, "format": "wav"})
    assert spoken.headers["x-remaining-quota"] == "6"
    assert spoken.headers["content-type"] == "audio/wav"
    digest = hashlib.sha256(f"default|wav|{'x' * 1001}".encode()).hexdigest()
    assert spoken.content == f"REFAUDIO:{digest}".encode()
    failed = await ana.post(
        path, files={"audio": ("a", sound + b"[[fail]]")}, data={"duration_ms": "1"}
    )
    assert failed.json()["error"]["details"] == {"provider_kind": "speech"}
    assert (await quota(ana, "video"))["remaining"] == 6
    other = await ana.post(path, files={"audio": ("a", b"text")}, data={"duration_ms": "1"})
    assert (other.status_code, error_code(other)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    missing = await ana.post(path, data={"duration_ms": "1"}, files={"other": b"x"})
    assert [f["path"] for f in missing.json()["error"]["details"]["fields"]] == ["form.audio"]
    json_body = await ana.post(path, json={})
    assert json_body.json()["error"]["details"] == {"allowed": ["multipart/form-data"]}
    cut = await ana.post(
        path, content=b"--x\r\n", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert (cut.status_code, error_code(cut)) == (400, "MALFORMED_REQUEST")


async def test_a_picture_is_looked_at_for_its_own_quota_and_kept(
    people: People, events: Workers
) -> None:
    ana = await people.new(tier=1)
    answer = await ana.post(
        "/api/chat/image",
        files={"image": ("a.png", PNG)},
        data={"character": "Ana", "message": "look"},
    )
    reply = answer.json()
    assert reply["response"] == "Ana heard: look"
    assert reply["description"] == f"image/png, {len(PNG)} bytes"
    assert reply["remaining_quota"] == 9
    assert (await quota(ana))["used"] == 0
    await events.settle()
    image = (await ana.get(f"/api/images/{reply['media_id']}")).json()
    assert (image["kind"], image["purpose"], image["width"]) == ("chat", "chat", 1)
    assert (await ana.get(f"/api/images/{reply['media_id']}/content")).content == PNG
    history = await ana.get(
        f"/api/chat/conversations/{reply['conversation_id']}/messages?order=asc"
    )
    shown = history.json()["items"][0]
    assert (shown["message_type"], shown["media_id"]) == ("image", reply["media_id"])
    assert (await ana.delete(f"/api/images/{reply['media_id']}")).status_code == 204
    await events.settle()
    history = await ana.get(
        f"/api/chat/conversations/{reply['conversation_id']}/messages?order=asc"
    )
    assert history.json()["items"][0]["media_id"] is None
