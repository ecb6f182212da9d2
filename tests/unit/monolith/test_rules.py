"""Pure decisions: subscription actions and events, streaks, levels, maintenance, limits, settings."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from monolith.analytics.rules import (
    Streak,
    engagement_tier,
    level_of,
    next_milestone,
    percentile_of,
)
from monolith.chat.exchange import fitting
from monolith.errors import ApiError
from monolith.maintenance import Mode, refusal
from monolith.payments.rules import (
    Held,
    allowed_actions,
    event_of,
    is_stale,
    require_allowed,
    wanted_of,
)
from monolith.payments.stripe_payload import UnknownStatusError, subscription_state
from monolith.providers.interfaces import Turn, estimate_tokens
from monolith.ratelimit import Count, window_key, window_start
from monolith.settings import SettingsError, settings_from_environment
from monolith.system.status import overall

NOW = datetime(2025, 1, 31, 12, tzinfo=UTC)
ENVIRONMENT = {"DATABASE_URL": "postgresql://x", "JWT_SECRETS": "s" * 32}


def held(**changes: object) -> Held:
    values: dict[str, object] = {
        "id": uuid.uuid4(),
        "user_id": uuid.uuid4(),
        "provider": "stripe",
        "provider_subscription_id": "sub",
        "price_id": "price_pro",
        "tier": 1,
        "status": "active",
        "pending_tier": None,
        "current_period_end": NOW,
        "resumes_at": None,
        "cancel_at_period_end": False,
        "version": 1,
        "provider_updated_at": NOW,
        "updated_at": NOW,
    }
    return Held(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subscription", "actions"),
    [
        (None, ("checkout",)),
        (held(status="cancelled"), ("checkout",)),
        (held(), ("upgrade", "downgrade", "cancel", "pause", "portal")),
        (held(status="trialing"), ("upgrade", "downgrade", "cancel", "pause", "portal")),
        (
            held(cancel_at_period_end=True),
            ("upgrade", "downgrade", "cancel", "resume", "portal"),
        ),
        (held(status="paused"), ("resume", "cancel", "portal")),
        (held(status="past_due"), ("cancel", "portal")),
        (held(status="unpaid"), ("cancel", "portal")),
        (held(provider="revenuecat"), ()),
        (held(provider="revenuecat", status="cancelled"), ("checkout",)),
    ],
)
def test_the_state_decides_which_actions_are_allowed(
    subscription: Held | None, actions: tuple[str, ...]
) -> None:
    assert allowed_actions(subscription) == actions


def test_a_refused_action_says_what_would_be_allowed() -> None:
    with pytest.raises(ApiError) as refused:
        require_allowed(held(provider="revenuecat"), "cancel", 1)
    assert refused.value.details == {
        "status": "active",
        "tier": 1,
        "managed_by": "revenuecat",
        "allowed": [],
    }


@pytest.mark.parametrize(
    ("before", "changes", "event"),
    [
        ({}, {"status": "cancelled", "tier": 2}, "subscription.cancelled"),
        ({}, {"status": "paused"}, "subscription.paused"),
        ({"status": "paused"}, {"status": "active"}, "subscription.resumed"),
        ({}, {"tier": 2}, "subscription.upgraded"),
        ({"tier": 2}, {"tier": 1}, "subscription.downgraded"),
        ({}, {"current_period_end": NOW + timedelta(days=30)}, "subscription.renewed"),
        ({}, {"cancel_at_period_end": True}, None),
        ({}, {"status": "past_due"}, None),
        ({"status": "cancelled"}, {"status": "cancelled"}, None),
    ],
)
def test_the_first_event_that_fits_tells_a_change(
    before: dict[str, object], changes: dict[str, object], event: str | None
) -> None:
    old = held(**before)
    assert event_of(old, wanted_of(old, **changes)) == event
    assert event_of(None, wanted_of(old)) == "subscription.created"


def test_older_state_and_a_revival_of_the_same_second_are_stale() -> None:
    assert is_stale(held(), NOW - timedelta(seconds=1), "active")
    assert not is_stale(held(), NOW, "active")
    assert is_stale(held(status="cancelled"), NOW, "active")
    assert not is_stale(held(status="cancelled"), NOW + timedelta(seconds=1), "active")
    assert not is_stale(held(provider_updated_at=None), NOW - timedelta(days=9), "active")


def test_older_and_newer_stripe_payloads_mean_the_same() -> None:
    older = {
        "id": "sub_1",
        "customer": {"id": "cus_1"},
        "status": "active",
        "current_period_end": 1738324800,
        "items": {"data": [{"price": {"id": "price_pro"}}]},
    }
    newer = {**older, "customer": "cus_1"}
    del newer["current_period_end"]
    newer["items"] = {"data": [{"price": "price_pro", "current_period_end": 1738324800}]}
    kind = "customer.subscription.updated"
    assert subscription_state(older, kind) == subscription_state(newer, kind)
    assert subscription_state(older, "customer.subscription.deleted").status == "cancelled"
    paused = {**older, "pause_collection": {"resumes_at": 1738324800}}
    assert subscription_state(paused, kind).status == "paused"
    with pytest.raises(UnknownStatusError):
        subscription_state({**older, "status": "new"}, kind)


def test_a_streak_grows_daily_and_falls_after_a_missed_day() -> None:
    first = Streak(0, 0, None).checked_in(date(2025, 1, 1))
    second = first.checked_in(date(2025, 1, 2))
    assert second == Streak(2, 2, date(2025, 1, 2))
    assert second.checked_in(date(2025, 1, 2)) == second
    assert second.shown_on(date(2025, 1, 3)) == 2
    assert second.shown_on(date(2025, 1, 4)) == 0
    assert second.checked_in(date(2025, 1, 4)) == Streak(1, 2, date(2025, 1, 4))


def test_levels_tiers_and_percentiles_follow_the_contract() -> None:
    assert [level_of(xp) for xp in (0, 49, 50, 199, 200)] == [1, 1, 2, 2, 3]
    assert [engagement_tier(n) for n in (0, 9, 10, 99, 100)] == [
        "casual",
        "casual",
        "regular",
        "regular",
        "devoted",
    ]
    assert next_milestone(0) == (3, 1)
    assert next_milestone(30) == (100, 30)
    assert next_milestone(100) is None
    assert percentile_of(0, 0, 0) == 0
    assert percentile_of(5, 0, 1) == 100
    assert percentile_of(5, 2, 4) == 66


def test_full_maintenance_beats_read_only_and_webhooks_pass_both() -> None:
    modes = {"all": Mode("all", "read_only", None, None), "chat": Mode("chat", "full", "x", None)}
    assert refusal(modes, "content", "read", NOW) is None
    write = refusal(modes, "content", "write", NOW)
    assert write is not None
    assert (write.code, write.details["scope"]) == ("READ_ONLY", "all")
    read = refusal(modes, "chat", "read", NOW)
    assert read is not None
    assert (read.code, read.details["scope"]) == ("MAINTENANCE", "chat")
    assert refusal(modes, "chat", "webhook", NOW) is None


def test_the_worst_domain_decides_the_status_of_the_product() -> None:
    assert overall({"a": "ok", "b": "read_only"}) == "degraded"
    assert overall({"a": "degraded", "b": "down"}) == "down"
    assert overall({"a": "maintenance", "b": "down"}) == "maintenance"
    assert overall({"a": "ok"}) == "ok"


def test_windows_start_at_the_minute_and_the_last_allowed_request_passes() -> None:
    assert window_start(119.9) == 60
    assert window_key("default", "u", 60) == "rl:default:u:60"
    assert Count("default", 2, 2, 120).refusal(100.0) is None
    refused = Count("default", 2, 3, 120).refusal(100.0)
    assert refused is not None
    assert refused.details == {"bucket": "default", "retry_after": 20}
    assert Count("default", 2, 3, 120).headers()["X-RateLimit-Remaining"] == "0"


def test_the_context_holds_the_newest_turns_that_fit() -> None:
    turns = [Turn("user", "d" * 8), Turn("Ana", "c" * 8), Turn("user", "b" * 8)]
    assert fitting(turns, 4) == [turns[1], turns[0]]
    assert fitting(turns, 0) == []
    assert estimate_tokens("abc", "de") == 2


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"JWT_SECRETS": ""}, "JWT_SECRETS"),
        ({"JWT_SECRETS": "s" * 32 + ",short"}, "JWT_SECRETS"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"PORT": "x"}, "PORT"),
        ({"RATE_LIMITS": "nothing=1"}, "RATE_LIMITS"),
        ({"DOMAIN_HEALTH_URLS": "chat"}, "DOMAIN_HEALTH_URLS"),
    ],
)
def test_a_wrong_setting_is_named_at_start(changes: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings_from_environment(ENVIRONMENT | changes)


def test_settings_are_read_from_the_environment() -> None:
    read = settings_from_environment(
        ENVIRONMENT
        | {
            "PORT": "",
            "PUBLIC_BASE_URL": "https://api.example.com/",
            "ALLOWED_ORIGINS": "https://app.example.com, https://b.example.com",
            "RATE_LIMITS": "default=7",
            "WEBHOOK_SECRETS_SUPABASE": "v1,whsec_a|v1,whsec_b",
            "WEBHOOK_SECRETS_STRIPE": "whsec_a,whsec_b",
            "DOMAIN_HEALTH_URLS": "chat=http://127.0.0.1:1/",
        }
    )
    assert read.port == 8000
    assert read.web_domain == "example.com"
    assert read.return_hosts == ("app.example.com", "b.example.com")
    assert read.rate_limits["default"] == 7
    assert read.rate_limits["public"] == 120
    assert read.webhook_secrets["supabase"] == ("v1,whsec_a", "v1,whsec_b")
    assert read.webhook_secrets["stripe"] == ("whsec_a", "whsec_b")
    assert read.domain_health_urls == {"chat": "http://127.0.0.1:1"}
    assert settings_from_environment(ENVIRONMENT | {"RATE_LIMITS": "off"}).rate_limits == {}
