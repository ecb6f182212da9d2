"""Are the secrets of this environment strong, well formed and all there? Pure; prints no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrate.doctor.finding import Finding, error, ok, warning
from shared.auth.keys import MIN_SECRET_BYTES, KeyMaterialError, check_backend, hmac_key
from shared.manifest import Manifest
from shared.webhooks.signatures import standard_key

#: A key that people typed has few different characters; 32 random bytes in base64 or hex have 12
#: and more.
MIN_DIFFERENT_CHARACTERS = 12
_EXAMPLES = ("change-me", "changeme", "secret", "example", "password", "your-", "xxxx")


def backend_findings() -> list[Finding]:
    """Does python-jose verify with the cryptography back end?"""
    try:
        check_backend()
    except KeyMaterialError as problem:
        return [error("python-jose", problem.message)]
    return [ok("python-jose", "cryptography back end")]


def token_secret_findings(secrets: Sequence[str]) -> list[Finding]:
    """The HS256 secrets in `JWT_SECRETS`, the first one signs."""
    subject = "JWT_SECRETS"
    if not secrets:
        return [warning(subject, "not in this environment, so not checked; set it and run again")]
    found = [
        problem
        for place, secret in enumerate(secrets, start=1)
        for problem in _weaknesses(subject, place, secret)
    ]
    if len(set(secrets)) < len(secrets):
        found.append(warning(subject, "one secret stands twice; rotation needs two different ones"))
    return found or [ok(subject, f"{len(secrets)} secret(s) of {MIN_SECRET_BYTES} bytes or more")]


def webhook_secret_findings(
    manifest: Manifest, secrets: Mapping[str, Sequence[str]]
) -> list[Finding]:
    """Secrets by provider, for every webhook route of the manifest."""
    found: list[Finding] = []
    for route in manifest.routes:
        if route.kind != "webhook":
            continue
        provider = route.name.partition("webhook_")[2]
        subject = f"WEBHOOK_SECRETS_{provider.upper()}"
        known = secrets.get(provider, ())
        if not known:
            found.append(
                warning(subject, f"not in this environment, so {route.path} was not checked")
            )
        elif provider == "clerk" and any(standard_key(secret) is None for secret in known):
            found.append(error(subject, "is not whsec_<base64>: every delivery would be refused"))
        elif provider == "stripe" and not all(s.startswith("whsec_") for s in known):
            found.append(error(subject, "does not start with whsec_: copy the signing secret"))
        elif any(len(secret) < 16 for secret in known):
            found.append(error(subject, "is shorter than 16 characters; make a longer one"))
        else:
            found.append(ok(subject, f"{len(known)} secret(s)"))
    return found


def _weaknesses(subject: str, place: int, secret: str) -> list[Finding]:
    try:
        hmac_key(secret)
    except KeyMaterialError as problem:
        return [error(subject, f"secret {place}: {problem.message}")]
    if len(set(secret)) < MIN_DIFFERENT_CHARACTERS or any(
        word in secret.lower() for word in _EXAMPLES
    ):
        return [
            warning(
                subject,
                f"secret {place} looks typed by hand; make one with `openssl rand -base64 48`"
                " and put it first, the old one second, until old tokens have expired",
            )
        ]
    return []
