"""Signatures of every sender, held against the senders' own libraries, and every malformed header."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime

import pytest
import standardwebhooks
import stripe
import svix
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import CallerError, Code
from shared.webhooks.errors import MalformedDeliveryError, SignatureInvalidError, WebhookSecretError
from shared.webhooks.providers import (
    ClerkReader,
    RevenueCatReader,
    StripeReader,
    SupabaseReader,
    standard_keys,
)
from shared.webhooks.senders import standard_delivery, static_delivery, stripe_delivery
from shared.webhooks.signatures import standard_key

NOW = 1_800_000_000
STRIPE_SECRET = "whsec_first_stripe_secret"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER_SECRET = "v1,whsec_" + base64.b64encode(b"o" * 24).decode()
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "created": NOW,
    "livemode": False,
}
USER = {"type": "user.created", "data": {"id": "user_1"}}


def reason_of(call: object) -> str:
    with pytest.raises(SignatureInvalidError) as caught:
        call()  # type: ignore[operator]
    assert caught.value.code is Code.SIGNATURE_INVALID
    assert caught.value.status == 400
    return caught.value.reason


def test_stripe_deliveries_are_read_with_their_id_type_and_time() -> None:
    sent = stripe_delivery(EVENT, STRIPE_SECRET, NOW)
    found = StripeReader([STRIPE_SECRET]).read(sent.headers, sent.body, NOW)
    assert (found.event_id, found.event_type) == ("evt_1", "invoice.paid")
    assert found.created == datetime.fromtimestamp(NOW, UTC)
    assert found.body == sent.body


def test_our_stripe_signatures_satisfy_stripes_own_library_and_the_other_way_round() -> None:
    now = int(time.time())
    sent = stripe_delivery(EVENT, STRIPE_SECRET, now)
    event = stripe.Webhook.construct_event(
        sent.body, sent.headers["stripe-signature"], STRIPE_SECRET
    )
    assert event["id"] == "evt_1"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(sent.body, sent.headers["stripe-signature"], "whsec_other")
    assert reason_of(lambda: StripeReader(["whsec_other"]).read(sent.headers, sent.body, now)) == (
        "mismatch"
    )


def test_a_thin_stripe_event_is_read() -> None:
    thin = {
        "id": "evt_2",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error",
        "created": "2027-01-15T08:00:00.000Z",
        "livemode": False,
    }
    sent = stripe_delivery(thin, STRIPE_SECRET, NOW)
    found = StripeReader([STRIPE_SECRET]).read(sent.headers, sent.body, NOW)
    assert found.created == datetime(2027, 1, 15, 8, tzinfo=UTC)


def test_any_of_several_secrets_is_good_and_the_index_says_which() -> None:
    sent = stripe_delivery(EVENT, "whsec_new", NOW)
    found = StripeReader([STRIPE_SECRET, "whsec_new"]).read(sent.headers, sent.body, NOW)
    assert found.secret_index == 1
    signed = standard_delivery("msg_1", USER, OTHER_SECRET, NOW, prefix="svix")
    clerk = ClerkReader([STANDARD_SECRET, OTHER_SECRET]).read(signed.headers, signed.body, NOW)
    assert clerk.secret_index == 1


def test_a_rotating_sender_may_send_several_signatures() -> None:
    first = stripe_delivery(EVENT, "whsec_old", NOW).headers["stripe-signature"]
    second = stripe_delivery(EVENT, STRIPE_SECRET, NOW).headers["stripe-signature"]
    both = f"{first},{second.partition(',')[2]},v0=ffff"
    body = stripe_delivery(EVENT, STRIPE_SECRET, NOW).body
    found = StripeReader([STRIPE_SECRET]).read({"stripe-signature": both}, body, NOW)
    assert found.event_id == "evt_1"
    signed = standard_delivery("msg_1", USER, STANDARD_SECRET, NOW)
    headers = {
        **signed.headers,
        "webhook-signature": "v1a,xx v1,AAAA " + signed.headers["webhook-signature"],
    }
    assert ClerkReader([STANDARD_SECRET]).read(headers, signed.body, NOW).event_id == "msg_1"


@pytest.mark.parametrize("offset", [-301, -299, 299, 301])
def test_timestamps_may_be_off_by_300_seconds_in_both_directions(offset: int) -> None:
    sent = stripe_delivery(EVENT, STRIPE_SECRET, NOW + offset)
    signed = standard_delivery("msg_1", USER, STANDARD_SECRET, NOW + offset)
    readers = [
        lambda: StripeReader([STRIPE_SECRET]).read(sent.headers, sent.body, NOW),
        lambda: ClerkReader([STANDARD_SECRET]).read(signed.headers, signed.body, NOW),
    ]
    for read in readers:
        if abs(offset) < 300:
            assert read().event_type
        else:
            assert reason_of(read) == ("too_old" if offset < 0 else "too_new")


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_our_standard_signatures_satisfy_the_libraries_and_theirs_satisfy_us(prefix: str) -> None:
    now = int(time.time())
    sent = standard_delivery("msg_1", USER, STANDARD_SECRET, now, prefix=prefix)
    if prefix == "webhook":
        library = standardwebhooks.Webhook(STANDARD_SECRET)
        assert library.verify(sent.body, dict(sent.headers)) == USER
    else:
        svix.Webhook(STANDARD_SECRET).verify(sent.body, dict(sent.headers))
    body = json.dumps({"type": "x"})
    theirs = standardwebhooks.Webhook(STANDARD_SECRET).sign(
        msg_id="msg_2", timestamp=datetime.fromtimestamp(now, UTC), data=body
    )
    headers = {
        f"{prefix}-id": "msg_2",
        f"{prefix}-timestamp": str(now),
        f"{prefix}-signature": theirs,
    }
    found = ClerkReader([STANDARD_SECRET]).read(headers, body.encode(), now)
    assert (found.event_id, found.event_type) == ("msg_2", "x")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        ("abc", "malformed"),
        ("t=,v1=", "malformed"),
        ("t=abc,v1=" + "0" * 64, "malformed"),
        (f"t={NOW}", "malformed"),
        (f"t={NOW},v1=zz", "malformed"),
        (f"t={NOW},v1={'z' * 64}", "malformed"),
        (f"t={NOW},t={NOW},v1={'0' * 64}", "malformed"),
        (f"t=-5,v1={'0' * 64}", "malformed"),
        (f"t={'9' * 40},v1={'0' * 64}", "malformed"),
        (f"t={NOW},v1={'0' * 64}", "mismatch"),
        (f"t={NOW},v0={'0' * 64}", "malformed"),
        ("v1=" + "0" * 64, "malformed"),
        ("t=١٢٣,v1=" + "0" * 64, "malformed"),
        ("t=1," + "v1=0," * 2000, "malformed"),
    ],
)
def test_every_malformed_stripe_header_is_a_400_with_a_reason(
    header: str | None, reason: str
) -> None:
    headers = {} if header is None else {"stripe-signature": header}
    assert reason_of(lambda: StripeReader([STRIPE_SECRET]).read(headers, b"{}", NOW)) == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-signature": None}, "missing"),
        ({"webhook-id": None}, "missing"),
        ({"webhook-timestamp": None}, "missing"),
        ({"webhook-id": ""}, "malformed"),
        ({"webhook-id": "é"}, "malformed"),
        ({"webhook-timestamp": "now"}, "malformed"),
        ({"webhook-timestamp": "1e9"}, "malformed"),
        ({"webhook-timestamp": "nan"}, "malformed"),
        ({"webhook-signature": "abc"}, "malformed"),
        ({"webhook-signature": "v1,%%%"}, "malformed"),
        ({"webhook-signature": "v1,é"}, "malformed"),
        ({"webhook-signature": "v2,AAAA"}, "malformed"),
        ({"webhook-signature": "v1,AAAA"}, "mismatch"),
        ({"webhook-id": "msg_other"}, "mismatch"),
        ({"webhook-signature": "v1,AAAA " * 900}, "malformed"),
    ],
)
def test_every_malformed_standard_header_is_a_400_with_a_reason(
    change: dict[str, str | None], reason: str
) -> None:
    sent = standard_delivery("msg_1", USER, STANDARD_SECRET, NOW)
    merged = {**sent.headers, **change}
    headers = {name: value for name, value in merged.items() if value is not None}
    assert reason_of(lambda: ClerkReader([STANDARD_SECRET]).read(headers, sent.body, NOW)) == reason


@given(st.text(max_size=200), st.text(max_size=40), st.text(max_size=40), st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_whatever_the_headers_hold_the_answer_is_a_400(
    signature: str, moment: str, message_id: str, body: bytes
) -> None:
    headers = {
        "stripe-signature": signature,
        "webhook-signature": signature,
        "webhook-timestamp": moment,
        "webhook-id": message_id,
        "authorization": signature,
    }
    readers = [
        StripeReader([STRIPE_SECRET]),
        ClerkReader([STANDARD_SECRET]),
        SupabaseReader([STANDARD_SECRET]),
        RevenueCatReader(["Bearer token-of-revenuecat"]),
    ]
    for reader in readers:
        with pytest.raises(CallerError) as caught:
            reader.read(headers, body, NOW)
        assert caught.value.status == 400


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_one_changed_byte_of_the_body_is_noticed(body: bytes) -> None:
    sent = stripe_delivery(EVENT, STRIPE_SECRET, NOW)
    if body == sent.body:
        return
    with pytest.raises(SignatureInvalidError):
        StripeReader([STRIPE_SECRET]).read(sent.headers, body, NOW)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nope", b"\xff", b"{}", b'{"id": 5, "type": "x"}', b"[" * 100_000]
)
def test_what_is_signed_and_no_delivery_is_a_400_too(body: bytes) -> None:
    from shared.webhooks.signatures import sign_stripe

    signature = sign_stripe(NOW, body, STRIPE_SECRET.encode())
    headers = {"stripe-signature": f"t={NOW},v1={signature}"}
    with pytest.raises(MalformedDeliveryError) as caught:
        StripeReader([STRIPE_SECRET]).read(headers, body, NOW)
    assert caught.value.status == 400


@pytest.mark.parametrize(("live", "sent_live"), [(True, False), (False, True)])
def test_test_events_are_refused_by_a_live_configuration_and_the_other_way_round(
    live: bool, sent_live: bool
) -> None:
    sent = stripe_delivery({**EVENT, "livemode": sent_live}, STRIPE_SECRET, NOW)
    reader = StripeReader([STRIPE_SECRET], livemode=live)
    assert reason_of(lambda: reader.read(sent.headers, sent.body, NOW)) == "livemode"


def test_revenuecat_needs_its_authorization_value_exactly() -> None:
    payload = {
        "api_version": "1.0",
        "event": {"id": "rc_1", "type": "RENEWAL", "event_timestamp_ms": NOW * 1000},
    }
    sent = static_delivery(payload, "Bearer token-of-revenuecat")
    reader = RevenueCatReader(["Bearer old", "Bearer token-of-revenuecat"])
    found = reader.read(sent.headers, sent.body, NOW)
    assert (found.event_id, found.event_type, found.secret_index) == ("rc_1", "RENEWAL", 1)
    assert found.created == datetime.fromtimestamp(NOW, UTC)
    wrong = {**sent.headers, "authorization": "Bearer token-of-revenuecat "}
    assert reason_of(lambda: reader.read(wrong, sent.body, NOW)) == "mismatch"
    assert reason_of(lambda: RevenueCatReader([]).read(sent.headers, sent.body, NOW)) == "mismatch"


def test_supabase_hooks_are_signed_and_database_webhooks_carry_a_token() -> None:
    reader = SupabaseReader([STANDARD_SECRET, "database-webhook-token"])
    hook = standard_delivery("msg_1", USER, STANDARD_SECRET, NOW)
    assert reader.read(hook.headers, hook.body, NOW).event_id == "msg_1"
    row = static_delivery(
        {
            "type": "INSERT",
            "schema": "auth",
            "table": "users",
            "record": {"id": 1},
            "old_record": None,
        },
        "bearer database-webhook-token",
    )
    found = reader.read(row.headers, row.body, NOW)
    assert found.event_type == "INSERT auth.users"
    assert found.event_id.startswith("sha256:")
    questions = {
        "hook.before_user_created": {"metadata": {"name": "before-user-created"}, "user": {}},
        "hook.access_token": {"user_id": "1", "claims": {}, "authentication_method": "otp"},
    }
    for expected, payload in questions.items():
        asked = standard_delivery("msg_2", payload, STANDARD_SECRET, NOW)
        assert reader.read(asked.headers, asked.body, NOW).event_type == expected
    bad = static_delivery(USER, "Bearer guess")
    assert reason_of(lambda: reader.read(bad.headers, bad.body, NOW)) == "mismatch"


def test_a_secret_with_a_version_prefix_gives_the_same_key() -> None:
    assert standard_key(OTHER_SECRET) == standard_key(OTHER_SECRET.removeprefix("v1,")) == b"o" * 24
    assert standard_key("plain") is None
    assert standard_key("whsec_") is None
    with pytest.raises(WebhookSecretError) as caught:
        standard_keys("clerk", ["very-secret-value"])
    assert "very-secret-value" not in str(caught.value)
