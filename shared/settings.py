"""Settings of every app, read from the environment and checked as a whole before anything starts.

Knows no other part of the product but the rate-limit notation. Secrets are SecretStr: they appear
in no log, error or repr.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import OperatorError
from shared.ratelimit.buckets import RateLimits, parse_rate_limits

MIN_SECRET_BYTES = 32  # HS256 keys shorter than the hash are refused (RFC 7518, 3.2; contract, 1.4)


def _split(separator: str) -> Callable[[object], object]:
    def split(value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return split


def _needs_scheme(*schemes: str) -> Callable[[SecretStr], SecretStr]:
    def check(value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in schemes:
            raise ValueError(f"must start with {' or '.join(f'{name}://' for name in schemes)}")
        if not (parts.hostname or parts.path or parts.query):
            raise ValueError("names no server")
        return value

    return check


def _long_enough(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for place, secret in enumerate(secrets, start=1):
        size = len(secret.get_secret_value().encode())
        if size < MIN_SECRET_BYTES:
            raise ValueError(f"secret {place} has {size} bytes, at least {MIN_SECRET_BYTES} needed")
    return secrets


def _lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _rate_limits(value: object) -> object:
    return parse_rate_limits(value) if isinstance(value, str) else value


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http or https address without query")
    return value.rstrip("/")


Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split(","))]
BarSecrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split("|"))]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split(","))]
PostgresUrl = Annotated[SecretStr, AfterValidator(_needs_scheme("postgresql", "postgres"))]
RedisUrl = Annotated[SecretStr, AfterValidator(_needs_scheme("redis", "rediss", "unix"))]
RabbitUrl = Annotated[SecretStr, AfterValidator(_needs_scheme("amqp", "amqps"))]
BaseUrl = Annotated[str, AfterValidator(_base_url)]


class AppSettings(BaseSettings):
    """What every service and worker reads. A field `redis_url` is the variable `REDIS_URL`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_base_url: BaseUrl = "http://127.0.0.1:8000"
    allowed_origins: Names = ()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(_lower_case)
    ] = "info"
    git_rev: str = Field(default="dev", max_length=80)  # set by Dokku at every deploy

    shared_database_url: PostgresUrl
    database_url: PostgresUrl | None = None  # None until the service has a database of its own
    redis_url: RedisUrl
    rabbitmq_url: RabbitUrl

    jwt_secrets: Annotated[Secrets, Field(min_length=1), AfterValidator(_long_enough)]
    jwt_issuer: str | None = None
    supabase_url: BaseUrl | None = None
    supabase_jwt_secrets: Annotated[Secrets, AfterValidator(_long_enough)] = ()
    clerk_issuer: BaseUrl | None = None
    clerk_jwt_key: SecretStr | None = None  # PEM; without it the keys come from the JWKS
    clerk_authorized_parties: Names = Field(default=(), validate_default=True)

    rate_limits: Annotated[RateLimits, NoDecode, BeforeValidator(_rate_limits)] = Field(
        default_factory=RateLimits
    )
    providers: Literal["reference", "live"] = "reference"
    webhook_secrets_stripe: Secrets = ()
    webhook_secrets_revenuecat: Secrets = ()
    webhook_secrets_supabase: BarSecrets = ()  # several are joined by a vertical bar (contract 1.13)
    webhook_secrets_clerk: BarSecrets = ()

    sentry_dsn: SecretStr | None = None
    sentry_traces_sample_rate: float = Field(default=0.0, ge=0, le=1)
    environment: str = "development"

    drain_lead_seconds: float = Field(default=0.5, ge=0, le=60)
    drain_seconds: float = Field(
        default=55.0, gt=0, le=300
    )  # streams may run 50 s (contract, 1.12)

    @field_validator("clerk_authorized_parties")
    @classmethod
    def _needed_with_clerk(cls, parties: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("clerk_issuer") and not parties:
            raise ValueError("is needed with CLERK_ISSUER: the origins whose tokens are accepted")
        return parties

    def database_dsn(self) -> str:
        """DSN of the app's own database, the shared one until it has one of its own."""
        return (self.database_url or self.shared_database_url).get_secret_value()


@dataclass(frozen=True, slots=True)
class SettingsProblem:
    """One variable that is missing or wrong; never holds the value."""

    variable: str
    message: str


class SettingsError(OperatorError):
    """The environment is not complete; `problems` lists everything that is wrong at once."""

    def __init__(self, problems: tuple[SettingsProblem, ...]) -> None:
        lines = "\n".join(f"  {problem.variable}: {problem.message}" for problem in problems)
        super().__init__(
            f"{len(problems)} setting(s) are missing or wrong:\n{lines}\n"
            "set them in the environment (on Dokku: `dokku config:set APP NAME=value`)"
            " and start again"
        )
        self.problems = problems


S = TypeVar("S", bound=BaseSettings)


def load_settings(kind: type[S], **defaults: Any) -> S:
    """Read `kind` from the environment; `defaults` fill variables that are unset or empty.

    >>> settings = load_settings(AppSettings, port=8002)

    Raises SettingsError with every problem, without any value in it.
    """
    unset = {name: value for name, value in defaults.items() if not os.environ.get(name.upper())}
    try:
        return kind(**unset)
    except ValidationError as error:
        problems = tuple(
            SettingsProblem(
                variable=str(found["loc"][0]).upper() if found["loc"] else "environment",
                message="is missing"
                if found["type"] == "missing"
                else _without_value(found["msg"]),
            )
            for found in error.errors(include_url=False, include_input=False)
        )
    raise SettingsError(problems)  # outside the handler: the original error holds the values


def _without_value(message: str) -> str:
    return message.removeprefix("Value error, ")
