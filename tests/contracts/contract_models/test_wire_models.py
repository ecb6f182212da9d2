"""The wire models of the services and those of the old API describe the same JSON, field by field."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.contract import analytics, auth, chat, community, media, payments, rooms, system
from shared.contract.page import Page
from shared.contract.values import Id, Integer, Timestamp

#: Fields of the shared objects as the contract lists them (2.0), in its order.
SHARED_OBJECTS: Mapping[type[BaseModel], str] = {
    auth.User: "id email name avatar_url phone country language birth_year tier premium confirmed"
    " referral_code onboarding_status preferences last_login_at created_at updated_at",
    auth.Session: "access_token refresh_token token_type expires_in expires_at user",
    auth.Author: "user_id name avatar_url",
    chat.Conversation: "id conversation_type title character_name character_series character_id"
    " participants message_count token_count last_message_at created_at updated_at",
    chat.Message: "id conversation_id seq role sender content message_type media_id pinned reaction"
    " edited_at metadata created_at updated_at",
    chat.ChatReply: "response conversation_id message_id user_message_id remaining_quota"
    " follow_up_questions model tokens created_at",
    chat.GroupReply: "conversation_id user_message_id responses remaining_quota"
    " follow_up_questions model tokens created_at",
    payments.Subscription: "id tier status provider price_id current_period_end"
    " cancel_at_period_end pending_tier resumes_at updated_at",
    payments.Quota: "limit used held bonus remaining unlimited period resets_at",
    payments.Quotas: "tier quota quota_premium_model quota_image_generation"
    " quota_image_recognition quota_video quota_story tokens_used premium_tokens_used last_reset"
    " quotas",
    media.Media: "id kind purpose content_type bytes width height sha256 prompt model url image_url"
    " created_at updated_at",
    community.Story: "id author conversation_id title content universe characters scenario"
    " published published_at view_count like_count liked_by_me created_at updated_at",
    community.StoryItem: "id author conversation_id title excerpt universe characters published"
    " published_at view_count like_count liked_by_me created_at updated_at",
    community.Room: "id name description universe creator settings member_count join_code"
    " referral_code is_member created_at updated_at",
    community.RoomMessage: "id room_id seq author content created_at",
    community.Scenario: "id creator title description characters setting tone is_public rating"
    " view_count use_count created_at updated_at",
    community.Notification: "id kind title body data read created_at",
    analytics.UserStats: "user_id message_count conversation_count story_count tokens_used"
    " active_days favourite_character engagement_tier xp level achievements",
    analytics.CheckIn: "current longest last_check_in checked_in_today next_milestone reward",
    system.Health: "status service version checks timestamp",
    system.Status: "status maintenance domains timestamp",
}

#: Models that both sides have, under their names in the old API where these differ.
TWINS: Mapping[str, Mapping[str, str]] = {
    "auth": {
        "User": "User",
        "Session": "Session",
        "AccountCreated": "CreateAccountOut",
        "OtpSent": "CodeSent",
        "OauthSession": "OauthSession",
        "Synced": "SyncOut",
        "Referral": "ReferralOut",
        "ReferralApplied": "ReferralApplyOut",
    },
    "chat": {
        "Conversation": "Conversation",
        "Message": "Message",
        "ChatReply": "ChatReply",
        "GroupReply": "GroupReply",
        "ImageReply": "ImageReply",
        "ConversationPage": "ConversationPage",
        "MessagePage": "MessagePage",
        "Export": "ExportDocument",
        "Transcript": "TranscribeOut",
    },
    "payments": {
        "Plans": "Plans",
        "Subscription": "Subscription",
        "Quotas": "Quotas",
        "CheckoutSession": "CheckoutOut",
        "BillingPortalAddress": "PortalOut",
        "PromoRedeemed": "RedeemOut",
    },
}


@pytest.mark.parametrize("model", SHARED_OBJECTS, ids=lambda model: model.__name__)
def test_a_shared_object_has_exactly_the_fields_of_the_contract(model: type[BaseModel]) -> None:
    wanted = set(SHARED_OBJECTS[model].split())
    fields = {field.serialization_alias or name for name, field in model.model_fields.items()}
    assert fields == wanted


@pytest.mark.parametrize(
    ("domain", "ours", "theirs"),
    [(domain, ours, theirs) for domain, pairs in TWINS.items() for ours, theirs in pairs.items()],
)
def test_services_and_old_api_write_the_same_json(domain: str, ours: str, theirs: str) -> None:
    service = getattr(importlib.import_module(f"shared.contract.{domain}"), ours)
    monolith = getattr(importlib.import_module(f"monolith.{domain}.models"), theirs)
    assert _shape(service) == _shape(monolith)


def _shape(model: type[BaseModel]) -> Any:
    """The JSON schema of a model's output without names, order and remarks."""
    schema = TypeAdapter(model).json_schema(mode="serialization")
    return _plain(schema, schema.get("$defs", {}))


def _plain(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _plain(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in node:
        return {"anyOf": sorted((_plain(n, definitions) for n in node["anyOf"]), key=str)}
    kept = {
        name: _plain(value, definitions)
        for name, value in node.items()
        if name in ("type", "format", "enum", "const", "items")
    }
    if kept.get("format") == "date-time":
        del kept["format"]  # one side declares timestamps as text, the other as moments
    if "const" in kept:
        kept = {"enum": [kept["const"]]}
    if "enum" in kept:
        kept = {"enum": sorted(kept["enum"], key=str)}
    if "properties" in node:
        kept["properties"] = {
            name: _plain(value, definitions) for name, value in sorted(node["properties"].items())
        }
    if isinstance(node.get("additionalProperties"), dict):
        kept["values"] = _plain(node["additionalProperties"], definitions)
    return kept


def test_values_are_written_as_the_contract_says() -> None:
    moment = datetime(2025, 1, 31, 14, 0, 0, 999_999, timezone(timedelta(hours=2)))
    author = auth.Author(
        user_id=UUID("ABCDEF00-0000-4000-8000-00000000000A"), name=None, avatar_url="x"
    )
    message = community.RoomMessage(
        id=UUID(int=1),
        room_id=UUID(int=2),
        seq=3,
        author=author,
        content="Zoë \u2028",
        created_at=moment,
    )
    assert message.model_dump_json() == (
        '{"id":"00000000-0000-0000-0000-000000000001",'
        '"room_id":"00000000-0000-0000-0000-000000000002","seq":3,'
        '"author":{"user_id":"abcdef00-0000-4000-8000-00000000000a","name":null,"avatar_url":"x"},'
        '"content":"Zoë \u2028","created_at":"2025-01-31T12:00:00.999Z"}'
    )


def test_platform_figures_say_from() -> None:
    day = datetime(2025, 1, 31, tzinfo=UTC).date()
    figures = dict.fromkeys(analytics.PlatformFigures.model_fields, 0)
    platform = analytics.Platform(
        from_=day, to=day, totals=analytics.PlatformFigures(**figures),
        days=(analytics.PlatformDay(day=day, **figures),),
    )  # fmt: skip
    written = platform.model_dump(mode="json", by_alias=True)
    assert written["from"] == "2025-01-31"
    assert written["days"][0]["day"] == "2025-01-31"
    assert set(written["days"][0]) == {"day", *written["totals"]}


def test_a_deleted_user_has_the_agreed_name() -> None:
    assert auth.DELETED_AUTHOR.model_dump() == {
        "user_id": None,
        "name": "Deleted user",
        "avatar_url": None,
    }


def test_models_are_frozen_and_refuse_fields_nobody_agreed_on() -> None:
    author = auth.DELETED_AUTHOR
    with pytest.raises(ValidationError):
        author.name = "x"
    with pytest.raises(ValidationError):
        auth.Author(user_id=None, name=None, avatar_url=None, email="leak@example.com")  # type: ignore[call-arg]


def test_a_page_has_three_fields() -> None:
    page = Page[auth.Author](items=(auth.DELETED_AUTHOR,), next_cursor=None, has_more=False)
    assert list(page.model_dump()) == ["items", "next_cursor", "has_more"]


@pytest.mark.parametrize(
    "text", ["00000000000040008000000000000000", "{x}", "", "urn:uuid:0", 7, None, "g" * 36]
)
def test_only_hyphenated_uuids_are_ids(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(text)


@pytest.mark.parametrize("text", ["2025-01-31", "1700000000", 1700000000, True, "2025-01-31T12:00",
                                  "2025-01-31T12:00:00", "2025-13-01T00:00:00Z", ""])  # fmt: skip
def test_only_rfc3339_with_an_offset_is_a_timestamp(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Timestamp).validate_python(text)


@pytest.mark.parametrize(("given", "wanted"), [("7", 7), (" -3 ", -3), ("+4", 4), (5, 5), (6.0, 6)])
def test_integers_may_come_as_decimal_strings(given: object, wanted: int) -> None:
    assert TypeAdapter(Integer).validate_python(given) == wanted


@pytest.mark.parametrize("given", ["1_000", "1.0", "", "x", True, 1.5, "9" * 30, None])
def test_other_values_are_no_integers(given: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Integer).validate_python(given)


@pytest.mark.parametrize(
    ("model", "body", "path"),
    [
        (auth.CreateAccount, {"email": "a"}, ("email",)),
        (auth.CreateAccount, {"email": "a@b@c"}, ("email",)),
        (auth.CreateAccount, {"email": "a b@c"}, ("email",)),
        (auth.CreateAccount, {"email": "a@b", "password": "short"}, ("password",)),
        (auth.VerifyOtp, {"email": "a@b", "code": "12345"}, ("code",)),
        (auth.VerifyOtp, {"email": "a@b", "code": "12345a"}, ("code",)),
        (auth.UpdateDetails, {"birth_year": 1899}, ("birth_year",)),
        (auth.UpdateDetails, {"birth_year": 3000}, ("birth_year",)),
        (auth.UpdateDetails, {"country": "DEU"}, ("country",)),
        (auth.UpdateDetails, {"language": None}, ("language",)),
        (auth.UpdateDetails, {"preferences": {"a": "x" * 9000}}, ("preferences",)),
        (auth.UpdateDetails, {"preferences": {"a": ["\x00"]}}, ("preferences",)),
        (chat.Talk, {"message": "a" * 4001}, ("message",)),
        (chat.Talk, {"message": "a", "model": "gpt-5"}, ("model",)),
        (chat.CreateGroup, {"participants": [{"name": "a"}]}, ("participants",)),
        (
            chat.CreateGroup,
            {"participants": [{"name": "a"}, {"name": " a "}]},
            ("participants",),
        ),
        (chat.CreateGroup, {"participants": [{"name": "a"}, {"name": ""}]}, ("participants", 1, "name")),
        (payments.Upgrade, {"tier": 0}, ("tier",)),
        (payments.Downgrade, {"tier": 2}, ("tier",)),
        (media.Generate, {"prompt": "a", "size": "1x1"}, ("size",)),
        (community.DraftStory, {"characters": []}, ("characters",)),
        (community.DraftStory, {"characters": ["a"], "content": "x"}, ("title",)),
        (community.JoinRoom, {"code": "ABCDEFG1"}, ("code",)),
        (community.CreateRoom, {"name": "a", "settings": {"max_members": 1}}, ("settings", "max_members")),
        (community.Vote, {"target_type": "story", "target_id": "x", "value": 1}, ("target_id",)),
        (community.ReadNotifications, {}, ()),
        (community.ReadNotifications, {"ids": [], "all": True}, ("ids",)),
        (community.ReadNotifications, {"all": False}, ()),
        (analytics.Ingest, {"events": []}, ("events",)),
        (analytics.Ingest, {"events": [{"name": "Bad"}]}, ("events", 0, "name")),
        (analytics.Ingest, {"events": [{"name": "a", "properties": {"x": "y" * 2100}}]}, ("events", 0, "properties")),
    ],
)  # fmt: skip
def test_a_bad_request_names_the_field(
    model: type[BaseModel], body: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    assert [found["loc"] for found in caught.value.errors()] == [path]


def test_good_requests_take_their_defaults_also_for_null() -> None:
    talk = chat.Talk.model_validate({"message": " hi ", "model": None, "series": None})
    assert (talk.message, talk.model, talk.series) == ("hi", chat.DEFAULT_MODEL, "")
    room = community.CreateRoom.model_validate({"name": "a", "settings": {"max_members": None}})
    assert room.settings.max_members == 50
    assert community.JoinRoom(code="abcdefg2").code == "ABCDEFG2"
    assert payments.Cancel.model_validate({"at_period_end": None}).at_period_end is True


def test_what_was_left_out_of_a_change_is_known() -> None:
    change = auth.UpdateDetails.model_validate({"name": None, "unknown": 1})
    assert change.model_fields_set == {"name"}
    assert change.name is None


def test_socket_frames_are_told_apart_by_type() -> None:
    frame = rooms.CLIENT_FRAME.validate_python({"type": "message", "content": " a "})
    assert frame == rooms.ClientMessage(type="message", content="a")
    for bad in ({"type": "other"}, {}, [], {"type": "message", "content": ""}):
        with pytest.raises(ValidationError):
            rooms.CLIENT_FRAME.validate_python(bad)
