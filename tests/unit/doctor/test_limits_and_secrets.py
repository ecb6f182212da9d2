"""What the doctor says about secrets and limits, without any server."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrate.doctor.limits import limit_findings
from migrate.doctor.secrets import (
    backend_findings,
    token_secret_findings,
    webhook_secret_findings,
)
from shared.manifest import Manifest, Upstream, load_manifest

STRONG = "q8Zr1vXo0Lw5Yt7BnE3cUu9dKh2mGs4PaJfWxT6i"


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(Path(__file__).parents[3] / "migration.toml")


def _with_upstream(manifest: Manifest, service: str, **limits: float) -> Manifest:
    entry = manifest.services[service]
    changed = entry.model_copy(update={"upstream": Upstream(**limits)})
    return manifest.model_copy(update={"services": {**manifest.services, service: changed}})


def test_the_shipped_manifest_fits_the_apps(manifest: Manifest) -> None:
    assert [finding.level for finding in limit_findings(manifest)] == ["ok"]


@pytest.mark.parametrize(("seconds", "level"), [(10, "error"), (15, "error"), (20, "warning")])
def test_silence_shorter_than_the_pings_is_found(
    manifest: Manifest, seconds: float, level: str
) -> None:
    changed = _with_upstream(manifest, "chat", activity_seconds=seconds)
    found = [f for f in limit_findings(changed) if f.subject.startswith("chat.stream")]
    assert [finding.level for finding in found] == [level]
    assert "activity_seconds" in found[0].message


def test_a_router_that_gives_up_before_the_app_is_found(manifest: Manifest) -> None:
    changed = _with_upstream(manifest, "media", first_byte_seconds=30)
    subjects = {f.subject.split()[0] for f in limit_findings(changed) if f.level == "error"}
    assert subjects == {"media.generate", "media.analyze"}


def test_bodies_that_the_contract_allows_must_pass(manifest: Manifest) -> None:
    router = manifest.router.model_copy(update={"max_body_bytes": 1024 * 1024, "drain_seconds": 10})
    found = limit_findings(manifest.model_copy(update={"router": router}))
    subjects = {finding.subject for finding in found}
    assert {"media.upload", "chat.transcribe", "router"} <= subjects
    assert not subjects & {"chat.talk", "payments.webhook_stripe"}


def test_the_right_back_end_is_found() -> None:
    assert [finding.level for finding in backend_findings()] == ["ok"]


@pytest.mark.parametrize(
    ("secrets", "levels"),
    [
        ([STRONG], ["ok"]),
        ([STRONG, STRONG[::-1]], ["ok"]),
        ([], ["warning"]),
        (["short"], ["error"]),
        ([STRONG, STRONG], ["warning"]),
        (["a" * 40], ["warning"]),
        (["change-me-change-me-change-me-0123456789"], ["warning"]),
        (["-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAA"], ["error"]),
    ],
)
def test_weak_token_secrets_are_found_and_never_shown(
    secrets: list[str], levels: list[str]
) -> None:
    found = token_secret_findings(secrets)
    assert [finding.level for finding in found] == levels
    assert not any(secret in finding.message for finding in found for secret in secrets)


def test_webhook_secrets_are_checked_per_provider(manifest: Manifest) -> None:
    secrets = {
        "stripe": ["sk_live_a_key_and_no_signing_secret"],
        "clerk": ["not-base64-with-prefix"],
        "supabase": ["v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a-static-token-0123456789"],
    }
    levels = {f.subject: f.level for f in webhook_secret_findings(manifest, secrets)}
    assert levels == {
        "WEBHOOK_SECRETS_STRIPE": "error",
        "WEBHOOK_SECRETS_CLERK": "error",
        "WEBHOOK_SECRETS_SUPABASE": "ok",
        "WEBHOOK_SECRETS_REVENUECAT": "warning",
    }
