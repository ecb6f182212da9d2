"""The allow-list of issuers, built from the settings: local, Supabase, Clerk."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from shared.auth.claims import ClaimRules
from shared.auth.key_sources import FixedKeys, KeySource, PublishedKeys
from shared.auth.keys import hmac_key, pem_key
from shared.auth.tokens import TokenIssuer
from shared.auth.verifier import Issuer, TokenVerifier
from shared.settings import AppSettings

LEEWAY_SECONDS = 30.0  # contract, 1.4
CLERK_LEEWAY_SECONDS = 5.0  # tokens live 60 s, so a wide leeway would double that


def verifier_of(settings: AppSettings) -> TokenVerifier:
    """The verifier every app builds at its start; OperatorError when a key cannot be used."""
    issuers = [local_issuer(settings)]
    if settings.supabase_url:
        issuers.append(supabase_issuer(settings.supabase_url, settings.supabase_jwt_secrets))
    if settings.clerk_issuer:
        pem = settings.clerk_jwt_key.get_secret_value() if settings.clerk_jwt_key else None
        issuers.append(
            clerk_issuer(settings.clerk_issuer, frozenset(settings.clerk_authorized_parties), pem)
        )
    return TokenVerifier(issuers)


def token_issuer_of(settings: AppSettings) -> TokenIssuer:
    """Who signs our own tokens: the first secret, under the configured name."""
    return TokenIssuer(
        settings.jwt_secrets[0].get_secret_value(), settings.jwt_issuer or settings.public_base_url
    )


def local_issuer(settings: AppSettings) -> Issuer:
    """HS256 under the product's own secrets; `iss` must match if it is configured."""
    return Issuer(
        ClaimRules("local", settings.jwt_issuer, LEEWAY_SECONDS),
        {"HS256": _secrets(settings.jwt_secrets)},
    )


def supabase_issuer(
    url: str, legacy_secrets: tuple[SecretStr, ...] = (), source: KeySource | None = None
) -> Issuer:
    """ES256 and RS256 by the project's key set; HS256 only where its old secret is configured."""
    issuer = f"{url}/auth/v1"
    published = source or PublishedKeys(
        f"{issuer}/.well-known/jwks.json", algorithms=frozenset({"ES256", "RS256"})
    )
    keys: dict[str, KeySource] = {"ES256": published, "RS256": published}
    if legacy_secrets:
        keys["HS256"] = _secrets(legacy_secrets)
    return Issuer(ClaimRules("supabase", issuer, LEEWAY_SECONDS), keys)


def clerk_issuer(
    issuer: str,
    authorized_parties: frozenset[str],
    pem: str | None = None,
    source: KeySource | None = None,
) -> Issuer:
    """RS256 by the instance's key set, or by a PEM key without any network."""
    if source is None and pem is not None:
        source = FixedKeys([pem_key(pem, "RS256")])
    keys: Mapping[str, KeySource] = {
        "RS256": source
        or PublishedKeys(f"{issuer}/.well-known/jwks.json", algorithms=frozenset({"RS256"}))
    }
    return Issuer(ClaimRules("clerk", issuer, CLERK_LEEWAY_SECONDS, authorized_parties), keys)


def _secrets(secrets: tuple[SecretStr, ...]) -> FixedKeys:
    return FixedKeys([hmac_key(secret.get_secret_value()) for secret in secrets])
