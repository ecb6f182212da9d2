"""Settings: everything that is wrong at once, and never a value."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from shared.errors import OperatorError
from shared.ratelimit.buckets import parse_rate_limits
from shared.settings import AppSettings, SettingsError, load_settings

GOOD = {
    "SHARED_DATABASE_URL": "postgresql://u:hunter2@db/x",
    "REDIS_URL": "redis://:hunter2@cache/0",
    "RABBITMQ_URL": "amqp://u:hunter2@broker/%2F",
    "JWT_SECRETS": f"{'a' * 31}1, {'b' * 40}",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in AppSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_good_settings_are_read_with_their_defaults(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "")
    environment.setenv("LOG_LEVEL", "INFO")
    environment.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example,")
    environment.setenv("PUBLIC_BASE_URL", "https://api.example/")
    settings = load_settings(AppSettings, port=8002)
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8002, "info")
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.public_base_url == "https://api.example"
    assert [len(secret.get_secret_value()) for secret in settings.jwt_secrets] == [32, 40]
    assert settings.database_dsn() == GOOD["SHARED_DATABASE_URL"]
    environment.setenv("PORT", "9000")
    environment.setenv("DATABASE_URL", "postgresql://own/x")
    settings = load_settings(AppSettings, port=8002)
    assert (settings.port, settings.database_dsn()) == (9000, "postgresql://own/x")


def test_a_secret_is_in_no_text_of_the_settings(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SENTRY_DSN", "https://hunter2@sentry.example/1")
    environment.setenv("WEBHOOK_SECRETS_STRIPE", "whsec_hunter2")
    settings = load_settings(AppSettings)
    for text in (
        repr(settings),
        str(settings),
        str(settings.model_dump()),
        settings.model_dump_json(),
    ):
        assert "hunter2" not in text
        assert "aaaa" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHARED_DATABASE_URL", None), ("SHARED_DATABASE_URL", "mysql://u:hunter2@h/x"),
        ("REDIS_URL", "hunter2"), ("RABBITMQ_URL", "http://u:hunter2@h"),
        ("JWT_SECRETS", None), ("JWT_SECRETS", ""), ("JWT_SECRETS", " , "),
        ("JWT_SECRETS", "hunter2"), ("JWT_SECRETS", "a" * 40 + ",hunter2"),
        ("PORT", "hunter2"), ("PORT", "70000"), ("LOG_LEVEL", "hunter2"),
        ("PROVIDERS", "hunter2"), ("PUBLIC_BASE_URL", "hunter2"),
        ("RATE_LIMITS", "hunter2=1"), ("RATE_LIMITS", "default=0"), ("RATE_LIMITS", "default=x"),
        ("SUPABASE_JWT_SECRETS", "hunter2"), ("CLERK_ISSUER", "hunter2"),
        ("SENTRY_TRACES_SAMPLE_RATE", "2"),
    ],
)  # fmt: skip
def test_one_bad_variable_is_named_and_its_value_is_not(
    environment: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(AppSettings)
    assert [problem.variable for problem in caught.value.problems] == [name]
    shown = "".join(traceback.format_exception(caught.value))
    if name != "RATE_LIMITS":  # a bucket's name is no secret and helps
        assert "hunter2" not in shown
    assert isinstance(caught.value, OperatorError)


def test_everything_wrong_is_listed_at_once(environment: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        environment.delenv(name)
    environment.setenv("PORT", "x")
    with pytest.raises(SettingsError) as caught:
        load_settings(AppSettings)
    assert {problem.variable for problem in caught.value.problems} == {*GOOD, "PORT"}
    assert "dokku config:set" in caught.value.message


def test_clerk_needs_its_authorized_parties(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLERK_ISSUER", "https://clerk.example")
    with pytest.raises(SettingsError) as caught:
        load_settings(AppSettings)
    assert [p.variable for p in caught.value.problems] == ["CLERK_AUTHORIZED_PARTIES"]
    environment.setenv("CLERK_AUTHORIZED_PARTIES", "https://app.example")
    assert load_settings(AppSettings).clerk_authorized_parties == ("https://app.example",)


@pytest.mark.parametrize(
    ("text", "bucket", "limit"),
    [
        ("default=7", "default", 7), ("default=7", "generate", 20), ("off", "default", None),
        (" OFF ", "public", None), ("", "sensitive", 10), ("public = 3 , sensitive=1", "public", 3),
        ("default=7", "none", None),
    ],
)  # fmt: skip
def test_rate_limits_are_overridden_by_bucket(text: str, bucket: str, limit: int | None) -> None:
    assert parse_rate_limits(text).of(bucket) == limit


def test_settings_cannot_be_changed(environment: pytest.MonkeyPatch) -> None:
    settings: Any = load_settings(AppSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
