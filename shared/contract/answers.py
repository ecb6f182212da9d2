"""What each public route answers (public contract, 1.6 and 2): models, other successes, errors; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import BaseModel

from shared.contract import analytics, auth, chat, community, content, media, payments, system
from shared.contract.routes import PublicRoute
from shared.errors import HTTP_STATUS, Code

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers of one route. `body` is the JSON of its success status, None for no JSON or none.

    `also` are further successes with their model; `types` are content types of a body that is no
    JSON; `errors` are the codes that the contract lists beside those of every route.
    """

    body: type[BaseModel] | None = None
    errors: tuple[Code, ...] = ()
    also: Mapping[int, type[BaseModel] | None] = field(default_factory=lambda: MappingProxyType({}))
    types: tuple[str, ...] = ()


_QUOTA = (Code.INSUFFICIENT_QUOTA,)
_PROVIDER = (Code.PROVIDER_ERROR, Code.PROVIDER_TIMEOUT)
_TALK = (
    Code.INSUFFICIENT_QUOTA,
    Code.INSUFFICIENT_TIER,
    Code.NOT_FOUND,
    Code.CONFLICT,
    Code.CONTENT_REJECTED,
    *_PROVIDER,
)
_VOICE = (Code.INSUFFICIENT_QUOTA, Code.CONTENT_REJECTED, *_PROVIDER)
_STATE = (Code.SUBSCRIPTION_STATE, *_PROVIDER)
_ABSENT = (Code.NOT_FOUND,)
_SIGNED = (Code.SIGNATURE_INVALID,)
_UNCHANGED: Mapping[int, None] = MappingProxyType({304: None})

ANSWERS: Mapping[str, Answer] = MappingProxyType(
    {
        "auth.create_account": Answer(auth.AccountCreated, (Code.EMAIL_TAKEN, Code.PROVIDER_ERROR)),
        "auth.verify_otp": Answer(auth.Session, (Code.OTP_INVALID,)),
        "auth.login": Answer(
            auth.Session,
            (Code.CREDENTIALS_INVALID, Code.ACCOUNT_NOT_CONFIRMED, Code.PROVIDER_ERROR),
            also={202: auth.OtpSent},
        ),
        "auth.oauth": Answer(auth.OauthSession, (Code.CREDENTIALS_INVALID, *_PROVIDER)),
        "auth.refresh": Answer(auth.Session, (Code.TOKEN_INVALID,)),
        "auth.logout": Answer(),
        "auth.sync": Answer(auth.Synced, (Code.EMAIL_TAKEN,)),
        "auth.me": Answer(auth.User, also=_UNCHANGED),
        "auth.update_details": Answer(auth.User),
        "auth.delete_me": Answer(),
        "auth.referral": Answer(auth.Referral),
        "auth.referral_apply": Answer(
            auth.ReferralApplied, (Code.NOT_FOUND, Code.REFERRAL_ALREADY_APPLIED)
        ),
        "auth.webhook_supabase": Answer(None, _SIGNED, types=(JSON,)),
        "auth.webhook_clerk": Answer(auth.WebhookReceived, _SIGNED),
        "chat.talk": Answer(chat.ChatReply, _TALK),
        "chat.stream": Answer(None, _TALK, types=("text/event-stream",)),
        "chat.group_create": Answer(chat.Conversation, (Code.CONTENT_REJECTED,)),
        "chat.group_talk": Answer(chat.GroupReply, _TALK),
        "chat.conversation_list": Answer(chat.ConversationPage),
        "chat.conversation_delete": Answer(None, _ABSENT),
        "chat.history": Answer(chat.MessagePage, _ABSENT),
        "chat.export": Answer(None, _ABSENT, types=("text/plain", JSON, "application/pdf")),
        "chat.message_edit": Answer(
            chat.Message, (Code.NOT_FOUND, Code.FORBIDDEN, Code.CONTENT_REJECTED)
        ),
        "chat.message_delete": Answer(None, _ABSENT),
        "chat.pin": Answer(chat.Message, _ABSENT),
        "chat.react": Answer(chat.Message, (Code.NOT_FOUND, Code.FORBIDDEN)),
        "chat.transcribe": Answer(chat.Transcript, _VOICE),
        "chat.speak": Answer(None, _VOICE, types=("audio/mpeg", "audio/wav")),
        "chat.image": Answer(chat.ImageReply, _TALK),
        "payments.plans": Answer(payments.Plans),
        "payments.checkout": Answer(
            payments.CheckoutSession, (*_STATE, Code.PROMO_INVALID, Code.PROMO_ALREADY_USED)
        ),
        "payments.subscription": Answer(payments.Subscription),
        "payments.upgrade": Answer(payments.Subscription, (*_STATE, Code.PAYMENT_FAILED)),
        "payments.downgrade": Answer(payments.Subscription, _STATE),
        "payments.cancel": Answer(payments.Subscription, _STATE),
        "payments.pause": Answer(payments.Subscription, _STATE),
        "payments.resume": Answer(payments.Subscription, _STATE),
        "payments.portal": Answer(payments.BillingPortalAddress, _STATE),
        "payments.promo_redeem": Answer(
            payments.PromoRedeemed, (Code.PROMO_INVALID, Code.PROMO_ALREADY_USED)
        ),
        "payments.quotas": Answer(payments.Quotas),
        "payments.webhook_stripe": Answer(auth.WebhookReceived, _SIGNED),
        "payments.webhook_revenuecat": Answer(auth.WebhookReceived, _SIGNED),
        "content.search": Answer(content.SearchPage),
        "content.autocomplete": Answer(content.Suggestions),
        "content.movies": Answer(content.TitlePage),
        "content.movie": Answer(content.TitleDetail, _ABSENT, also=_UNCHANGED),
        "content.series_list": Answer(content.TitlePage),
        "content.series": Answer(content.TitleDetail, _ABSENT, also=_UNCHANGED),
        "content.characters": Answer(content.CharacterPage),
        "content.character": Answer(content.CharacterDetail, _ABSENT, also=_UNCHANGED),
        "content.actors": Answer(content.ActorPage),
        "content.actor": Answer(content.ActorDetail, _ABSENT, also=_UNCHANGED),
        "content.popular": Answer(content.Popular),
        "media.generate": Answer(
            media.GeneratedMedia, (*_QUOTA, Code.CONTENT_REJECTED, *_PROVIDER)
        ),
        "media.analyze": Answer(
            media.Analysis, (*_QUOTA, Code.CONTENT_REJECTED, Code.NOT_FOUND, *_PROVIDER)
        ),
        "media.upload": Answer(media.Media, _PROVIDER),
        "media.list": Answer(media.MediaPage),
        "media.get": Answer(media.Media, _ABSENT),
        "media.content": Answer(
            None,
            (Code.NOT_FOUND, *_PROVIDER),
            also=MappingProxyType({206: None, 304: None, 416: None}),
            types=("image/png", "image/jpeg", "image/webp"),
        ),
        "media.delete": Answer(None, (Code.NOT_FOUND, *_PROVIDER)),
        "community.story_draft": Answer(
            community.StoryDrafted, (*_QUOTA, Code.CONTENT_REJECTED, *_PROVIDER)
        ),
        "community.story_list": Answer(community.StoryPage),
        "community.story_get": Answer(community.Story, _ABSENT),
        "community.story_update": Answer(community.Story, (Code.NOT_FOUND, Code.CONTENT_REJECTED)),
        "community.story_publish": Answer(community.Story, (Code.NOT_FOUND, Code.CONTENT_REJECTED)),
        "community.story_like": Answer(community.StoryLiked, _ABSENT),
        "community.story_delete": Answer(None, _ABSENT),
        "community.room_create": Answer(community.Room),
        "community.room_list": Answer(community.RoomPage),
        "community.room_get": Answer(community.Room, _ABSENT),
        "community.room_join": Answer(community.Room, (Code.NOT_FOUND, Code.ROOM_FULL)),
        "community.room_leave": Answer(None, _ABSENT),
        "community.room_members": Answer(
            community.RoomMemberPage, (Code.NOT_FOUND, Code.FORBIDDEN)
        ),
        "community.room_messages": Answer(
            community.RoomMessagePage, (Code.NOT_FOUND, Code.FORBIDDEN)
        ),
        "community.room_ws": Answer(),
        "community.scenario_create": Answer(community.Scenario, (Code.CONTENT_REJECTED,)),
        "community.scenario_list": Answer(community.ScenarioPage),
        "community.vote": Answer(community.VoteResult, _ABSENT),
        "community.character_create": Answer(
            community.CommunityCharacter, (Code.CONTENT_REJECTED,)
        ),
        "community.notification_list": Answer(community.NotificationPage),
        "community.notification_read": Answer(community.NotificationsRead),
        "analytics.user_stats": Answer(analytics.UserStats),
        "analytics.streak": Answer(analytics.Streak),
        "analytics.check_in": Answer(analytics.CheckIn),
        "analytics.percentile": Answer(analytics.Percentile),
        "analytics.conversation_stats": Answer(analytics.ConversationStatsPage),
        "analytics.platform": Answer(analytics.Platform),
        "analytics.ingest": Answer(analytics.Ingested),
        "system.health": Answer(system.Health, also=MappingProxyType({503: system.Health})),
        "system.status": Answer(system.Status),
    }
)

_EVERYWHERE = (Code.INTERNAL_ERROR, Code.UNAVAILABLE, Code.UPSTREAM_TIMEOUT)
_FIELDS = (Code.MALFORMED_REQUEST, Code.VALIDATION_ERROR)
_BODY = (Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)


def error_statuses(route: PublicRoute) -> frozenset[int]:
    """Every error status that the contract allows a route."""
    answer = ANSWERS[route.name]
    codes = {*_EVERYWHERE, *answer.errors}
    if route.bucket != "none":
        codes.add(Code.RATE_LIMITED)
    if route.auth in ("user", "tier1", "service_role"):
        codes |= {Code.AUTH_REQUIRED, Code.FORBIDDEN}
    if route.auth == "tier1":
        codes.add(Code.INSUFFICIENT_TIER)
    if route.kind == "webhook":
        codes.add(Code.PAYLOAD_TOO_LARGE)
    else:
        codes |= set(_FIELDS)
    if route.kind in ("write", "upload", "stream"):
        codes |= set(_BODY)
    if route.idempotency == "key":
        codes.add(Code.IDEMPOTENCY_IN_PROGRESS)
    if route.service == "system":  # these two are answered in every state of the product
        codes.discard(Code.UNAVAILABLE)
    return frozenset(HTTP_STATUS[code] for code in codes) - frozenset(answer.also)


def statuses(route: PublicRoute) -> frozenset[int]:
    """Every status that the contract allows a route."""
    return error_statuses(route) | {route.success, *ANSWERS[route.name].also}
