"""Webhook signatures, against the senders' own libraries."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
import standardwebhooks
import stripe

from monolith.errors import ApiError
from monolith.webhooks.signatures import check_fixed, check_standard, check_stripe

BODY = '{"a": 1, "ö": "ü"}'.encode()
KEY = b"0123456789abcdefghijklmn"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def _standard(now: float, secret: str = SECRET) -> dict[str, str]:
    moment = datetime.fromtimestamp(int(now), UTC)
    signature = standardwebhooks.Webhook(secret).sign("msg_1", moment, BODY.decode())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now)),
        "webhook-signature": signature,
    }


def test_the_official_standard_webhooks_signature_is_accepted() -> None:
    now = time.time()
    assert check_standard(_standard(now), BODY, [f"v1,{SECRET}"], now).message_id == "msg_1"


def test_svix_headers_and_a_list_of_signatures_are_accepted() -> None:
    now = time.time()
    headers = {k.replace("webhook-", "svix-"): v for k, v in _standard(now).items()}
    headers["svix-signature"] = "v1,AAAA v1a,zzz " + headers["svix-signature"]
    assert check_standard(headers, BODY, ["whsec_!!", SECRET], now).message_id == "msg_1"


@pytest.mark.parametrize("shift", [301, -301])
def test_a_timestamp_more_than_five_minutes_off_is_refused(shift: int) -> None:
    now = time.time()
    with pytest.raises(ApiError) as refused:
        check_standard(_standard(now + shift), BODY, [SECRET], now)
    assert refused.value.code == "SIGNATURE_INVALID"


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-signature": "v1,not base64"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1,\udcff"},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": "٣"},
        {"webhook-id": ""},
    ],
)
def test_headers_that_cannot_be_read_are_a_bad_signature(changes: dict[str, str]) -> None:
    now = time.time()
    with pytest.raises(ApiError) as refused:
        check_standard(_standard(now) | changes, BODY, [SECRET], now)
    assert refused.value.code == "SIGNATURE_INVALID"


def test_a_changed_body_is_refused() -> None:
    now = time.time()
    with pytest.raises(ApiError):
        check_standard(_standard(now), BODY + b" ", [SECRET], now)


def test_stripes_own_library_agrees() -> None:
    now = int(time.time())
    header = stripe.WebhookSignature._compute_signature(f"{now}.{BODY.decode()}", "whsec_b")
    check_stripe(f"t={now},v1=00,v1={header},v0=1", BODY, ["whsec_a", "whsec_b"], now)
    with pytest.raises(ApiError):
        check_stripe(f"t={now},v1={header}", BODY, ["whsec_a"], now)
    with pytest.raises(ApiError):
        check_stripe(f"t={now - 301},v1={header}", BODY, ["whsec_b"], now)
    with pytest.raises(ApiError):
        check_stripe(None, BODY, ["whsec_b"], now)


def test_no_configured_value_accepts_nothing() -> None:
    for given in (None, "", "x"):
        with pytest.raises(ApiError):
            check_fixed(given, [])
    check_fixed("x", ["y", "x"])
