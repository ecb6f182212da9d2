"""What the environment says, read once and checked at start; knows nothing of the code that uses it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

SECRET_BYTES_MIN = 32  # HS256 keys below the size of the hash are refused (RFC 7518, 3.2)
WEBHOOK_PROVIDERS = ("stripe", "revenuecat", "supabase", "clerk")
# Requests a minute per bucket; contract, 1.10.
RATE_LIMITS = {"default": 100, "generate": 20, "public": 120, "sensitive": 10}


class SettingsError(ValueError):
    """A variable is missing or wrong; the message names it and says what to set."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process of the old API can be told."""

    database_url: str
    jwt_secrets: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    redis_url: str | None = None
    rabbitmq_url: str | None = None
    jwt_issuer: str | None = None
    public_base_url: str = "http://127.0.0.1:8000"
    web_domain: str = "127.0.0.1"
    owner_api_url: str | None = None
    allowed_origins: tuple[str, ...] = ()
    return_hosts: tuple[str, ...] = ()
    log_level: str = "INFO"
    sentry_dsn: str | None = None
    providers: str = "reference"
    rate_limits: Mapping[str, int] = field(default_factory=lambda: dict(RATE_LIMITS))
    webhook_secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    domain_health_urls: Mapping[str, str] = field(default_factory=dict)
    media_dir: Path = Path("media")
    mail_dir: Path | None = None
    events_exchange: str = "scenextras.events"
    events_queue: str = "monolith.events"
    database_pool_size: int = 10
    livemode: bool = False
    provider_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    version: str = "1.0.0"


def settings_from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raises SettingsError with the name of the variable at fault."""
    env = os.environ if environ is None else environ
    port = _integer(env, "PORT", 8000)
    origins = _words(env.get("ALLOWED_ORIGINS"))
    base = (env.get("PUBLIC_BASE_URL") or f"http://127.0.0.1:{port}").rstrip("/")
    host = urlsplit(base).hostname or "127.0.0.1"
    return Settings(
        database_url=_required(env, "DATABASE_URL", "the PostgreSQL address of the old API"),
        jwt_secrets=_secrets(env),
        host=env.get("HOST") or "127.0.0.1",
        port=port,
        redis_url=env.get("REDIS_URL") or None,
        rabbitmq_url=env.get("RABBITMQ_URL") or None,
        jwt_issuer=env.get("JWT_ISSUER") or None,
        public_base_url=base,
        web_domain=env.get("WEB_DOMAIN") or host.removeprefix("api."),
        owner_api_url=(env.get("OWNER_API_URL") or "").rstrip("/") or None,
        allowed_origins=origins,
        return_hosts=_words(env.get("RETURN_HOSTS")) or _hosts(origins),
        log_level=(env.get("LOG_LEVEL") or "INFO").upper(),
        sentry_dsn=env.get("SENTRY_DSN") or None,
        providers=env.get("PROVIDERS") or "reference",
        rate_limits=_rate_limits(env.get("RATE_LIMITS")),
        webhook_secrets={p: _webhook_secrets(env, p) for p in WEBHOOK_PROVIDERS},
        domain_health_urls=_pairs(env, "DOMAIN_HEALTH_URLS"),
        media_dir=Path(env.get("MEDIA_DIR") or "media"),
        mail_dir=Path(env["MAIL_DIR"]) if env.get("MAIL_DIR") else None,
        events_exchange=env.get("EVENTS_EXCHANGE") or "scenextras.events",
        events_queue=env.get("MONOLITH_EVENTS_QUEUE") or "monolith.events",
        database_pool_size=_integer(env, "DATABASE_POOL_SIZE", 10),
        livemode=(env.get("PAYMENTS_LIVEMODE") or "").lower() in {"1", "true", "yes"},
        provider_keys={k: v for k, v in env.items() if _is_provider_key(k) and v},
        version=env.get("VERSION") or env.get("GIT_REV") or "1.0.0",
    )


def _is_provider_key(name: str) -> bool:
    prefixes = ("STRIPE_", "ANTHROPIC_", "OPENAI_", "SUPABASE_", "SMTP_", "MODEL_")
    return name.startswith(prefixes)


def _required(env: Mapping[str, str], name: str, meaning: str) -> str:
    value = env.get(name)
    if not value:
        raise SettingsError(f"{name} is not set: give {meaning}, e.g. export {name}=…")
    return value


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal():
        raise SettingsError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _hosts(origins: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(host for host in (urlsplit(origin).hostname for origin in origins) if host)


def _secrets(env: Mapping[str, str]) -> tuple[str, ...]:
    secrets = _words(_required(env, "JWT_SECRETS", "one or more secrets, comma separated"))
    for position, secret in enumerate(secrets, start=1):
        if len(secret.encode()) < SECRET_BYTES_MIN:
            raise SettingsError(
                f"JWT_SECRETS: entry {position} has fewer than {SECRET_BYTES_MIN} bytes; "
                "make one with: openssl rand -hex 32"
            )
    return secrets


def _webhook_secrets(env: Mapping[str, str], provider: str) -> tuple[str, ...]:
    text = env.get(f"WEBHOOK_SECRETS_{provider.upper()}", "")
    return tuple(p.strip() for chunk in text.split("|") for p in _joined(chunk) if p.strip())


def _joined(chunk: str) -> list[str]:
    """Split at commas, but keep the prefix of `v1,whsec_…` (Standard Webhooks) in one piece."""
    pieces: list[str] = []
    for piece in chunk.split(","):
        if pieces and pieces[-1].strip() == "v1":
            pieces[-1] = f"v1,{piece.strip()}"
        else:
            pieces.append(piece)
    return pieces


def _rate_limits(text: str | None) -> dict[str, int]:
    if (text or "").strip().lower() == "off":
        return {}
    limits = dict(RATE_LIMITS)
    for word in _words(text):
        name, _, number = word.partition("=")
        if name not in limits or not number.isdecimal():
            raise SettingsError(
                f"RATE_LIMITS: {word!r} is not <bucket>=<number>; buckets: {', '.join(limits)}"
            )
        limits[name] = int(number)
    return limits


def _pairs(env: Mapping[str, str], name: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in _words(env.get(name)):
        key, separator, value = word.partition("=")
        if not separator:
            raise SettingsError(f"{name}: {word!r} is not <domain>=<address>")
        pairs[key] = value.rstrip("/")
    return pairs
