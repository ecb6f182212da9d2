"""Settings of the auth service and its worker beyond those of every app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from shared.events.worker import WorkerSettings
from shared.settings import AppSettings, BaseUrl

PORT = 8002


def _pairs(value: object) -> object:
    """`chat=http://chat:8000,media=http://media:8000` as a mapping."""
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",") if word.strip()]
    if any("=" not in word for word in words):
        raise ValueError("must be <domain>=<address>, comma separated")
    return dict(word.split("=", 1) for word in words)


class MailSettings(AppSettings):
    """How mail leaves: SendGrid if there is a key, else SMTP if there is a host, else files in MAIL_DIR."""

    sendgrid_api_key: SecretStr | None = None
    sendgrid_base_url: BaseUrl = "https://api.sendgrid.com"
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_from: str = "no-reply@localhost"  # the sender, whatever carries the mail
    mail_dir: Path | None = None


class AuthSettings(MailSettings):
    """Of the web process. A field `auth_backend` is the variable `AUTH_BACKEND`."""

    manifest: Path = Path("migration.toml")
    #: Who keeps passwords and mails codes: our own tables, or Supabase Auth.
    auth_backend: Literal["local", "supabase"] = "local"
    supabase_anon_key: SecretStr | None = None
    supabase_service_key: SecretStr | None = None
    web_domain: str = ""  # of links for people; default: the public host without `api.`
    owner_api_url: BaseUrl | None = None  # where other domains answer; default: the public address
    # Who is asked about other domains by /api/status: always these, else the app of a domain once
    # routes of it are served there, else the old API.
    domain_health_urls: Annotated[
        dict[str, BaseUrl], NoDecode, BeforeValidator(_pairs), Field(default_factory=dict)
    ]
    monolith_url: BaseUrl | None = None
    chat_url: BaseUrl | None = None
    payments_url: BaseUrl | None = None
    content_url: BaseUrl | None = None
    media_url: BaseUrl | None = None
    community_url: BaseUrl | None = None
    analytics_url: BaseUrl | None = None

    @model_validator(mode="after")
    def _hosted_needs_keys(self) -> AuthSettings:
        if self.auth_backend == "supabase" and not (
            self.supabase_url and self.supabase_service_key
        ):
            raise ValueError("AUTH_BACKEND=supabase needs SUPABASE_URL and SUPABASE_SERVICE_KEY")
        return self

    @property
    def link_domain(self) -> str:
        """The host of links that people share."""
        host = urlsplit(self.public_base_url).hostname or "127.0.0.1"
        return self.web_domain or host.removeprefix("api.")

    @property
    def app_urls(self) -> dict[str, str]:
        """Domain -> address of its app, where one is named."""
        named = {
            "chat": self.chat_url,
            "payments": self.payments_url,
            "content": self.content_url,
            "media": self.media_url,
            "community": self.community_url,
            "analytics": self.analytics_url,
        }
        return {domain: url for domain, url in named.items() if url}

    @property
    def owners_url(self) -> str:
        """Where the routes of other domains are asked."""
        return self.owner_api_url or self.public_base_url


class AuthWorkerSettings(MailSettings, WorkerSettings):
    """Of the worker."""
