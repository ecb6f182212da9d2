"""What each sender's deliveries look like: how they are signed, their id, type and time; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from shared.settings import AppSettings
from shared.webhooks.errors import (
    MalformedDeliveryError,
    SignatureInvalidError,
    WebhookSecretError,
)
from shared.webhooks.signatures import (
    standard_key,
    verify_standard,
    verify_static,
    verify_stripe,
)

ProviderName = Literal["stripe", "revenuecat", "supabase", "clerk"]
PROVIDERS: tuple[ProviderName, ...] = ("stripe", "revenuecat", "supabase", "clerk")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One verified delivery. `secret_index` shows when an old secret is no longer used."""

    provider: ProviderName
    event_id: str
    event_type: str
    created: datetime | None
    body: bytes
    payload: Mapping[str, Any]
    secret_index: int = 0


class WebhookReader(Protocol):
    """Verifies and reads the deliveries of one sender."""

    @property
    def provider(self) -> ProviderName: ...

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
        """A verified delivery; raises SignatureInvalidError or MalformedDeliveryError, else nothing.

        `headers` have lower-case names; `body` is what came over the wire; `now` is unix seconds.
        """
        ...


@dataclass(frozen=True)
class StripeReader:
    """Snapshot and thin events; `livemode` None takes both kinds."""

    secrets: Sequence[str]
    livemode: bool | None = None
    provider: ProviderName = "stripe"

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
        keys = [secret.encode() for secret in self.secrets]
        signed = verify_stripe(headers.get("stripe-signature"), body, keys, now)
        payload = parse_object(body)
        if self.livemode is not None and payload.get("livemode") is not self.livemode:
            raise SignatureInvalidError("livemode")
        return Delivery(
            self.provider,
            text_of(payload, "id"),
            text_of(payload, "type"),
            moment(payload.get("created")) or moment(signed.timestamp),
            body,
            payload,
            signed.key_index,
        )


@dataclass(frozen=True)
class RevenueCatReader:
    """The `Authorization` header equals a configured value."""

    secrets: Sequence[str]
    provider: ProviderName = "revenuecat"

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
        index = verify_static(headers.get("authorization"), self.secrets)
        payload = parse_object(body)
        event = payload.get("event")
        if not isinstance(event, dict):
            raise MalformedDeliveryError("it has no event")
        return Delivery(
            self.provider,
            text_of(event, "id"),
            text_of(event, "type"),
            moment(event.get("event_timestamp_ms"), milliseconds=True),
            body,
            payload,
            index,
        )


@dataclass(frozen=True)
class ClerkReader:
    """Standard Webhooks in svix spelling; the header's id is the delivery's."""

    secrets: Sequence[str]
    provider: ProviderName = "clerk"

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
        signed = verify_standard(headers, body, standard_keys(self.provider, self.secrets), now)
        payload = parse_object(body)
        return Delivery(
            self.provider,
            signed.id or "",
            text_of(payload, "type"),
            moment(payload.get("timestamp"), milliseconds=True) or moment(signed.timestamp),
            body,
            payload,
            signed.key_index,
        )


@dataclass(frozen=True)
class SupabaseReader:
    """Hooks are signed by Standard Webhooks; database webhooks carry a Bearer token instead.

    Bodies without a `type` are hooks that ask a question (`before-user-created`, access token);
    they get the types `hook.before_user_created` and `hook.access_token` and are not stored.
    """

    secrets: Sequence[str]
    provider: ProviderName = "supabase"

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
        signature_id: str | None = None
        created: datetime | None = None
        authorization = headers.get("authorization", "")
        scheme, _, token = authorization.partition(" ")
        is_signed = any(f"{prefix}-signature" in headers for prefix in ("webhook", "svix"))
        if not is_signed and scheme.lower() == "bearer":
            index = verify_static(token.strip(), self.secrets)
        else:
            keys = standard_keys(self.provider, self.secrets)
            signed = verify_standard(headers, body, keys, now)
            index, signature_id = signed.key_index, signed.id
            created = moment(signed.timestamp)
        payload = parse_object(body)
        event_type, is_row = supabase_type(payload)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"  # rows have no id of their own
        event_id = digest if is_row or signature_id is None else signature_id
        return Delivery(self.provider, event_id, event_type, created, body, payload, index)


def webhook_readers(
    settings: AppSettings, *, livemode: bool | None = None
) -> dict[str, WebhookReader]:
    """The readers of every sender, by provider. Raises WebhookSecretError for an unusable secret."""
    secrets = {
        name: [secret.get_secret_value() for secret in getattr(settings, f"webhook_secrets_{name}")]
        for name in PROVIDERS
    }
    if secrets["clerk"]:
        standard_keys("clerk", secrets["clerk"])
    return {
        "stripe": StripeReader(secrets["stripe"], livemode),
        "revenuecat": RevenueCatReader(secrets["revenuecat"]),
        "supabase": SupabaseReader(secrets["supabase"]),
        "clerk": ClerkReader(secrets["clerk"]),
    }


def standard_keys(provider: str, secrets: Sequence[str]) -> list[bytes]:
    """Keys of the secrets that are signing secrets. Supabase's list also holds plain tokens."""
    keys: list[bytes] = []
    for place, secret in enumerate(secrets, start=1):
        key = standard_key(secret)
        if key is not None:
            keys.append(key)
        elif provider != "supabase":
            raise WebhookSecretError(provider, place, "is not whsec_<base64>")
    return keys


def supabase_type(payload: Mapping[str, Any]) -> tuple[str, bool]:
    """(event type, whether it is a change of a row) of a Supabase body."""
    kind = payload.get("type")
    if kind in ("INSERT", "UPDATE", "DELETE") and "table" in payload:
        return f"{kind} {payload.get('schema', '')}.{payload['table']}", True
    if isinstance(kind, str):
        return kind, False
    if isinstance(payload.get("metadata"), dict) and "user" in payload:
        return "hook.before_user_created", False
    if "claims" in payload and "user_id" in payload:
        return "hook.access_token", False
    raise MalformedDeliveryError("it has no type")


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object from raw bytes, read only after they were verified."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedDeliveryError("it is not JSON") from error
    if not isinstance(payload, dict):
        raise MalformedDeliveryError("it is not a JSON object")
    return payload


def text_of(payload: Mapping[str, Any], name: str) -> str:
    """A required text of at most 255 characters."""
    value = payload.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise MalformedDeliveryError(f"its {name} is not a text")
    return value


def moment(value: object, *, milliseconds: bool = False) -> datetime | None:
    """A time from unix (milli)seconds or RFC 3339 text; None for anything else."""
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000 if milliseconds else value, UTC)
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found if found.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None
    return None
