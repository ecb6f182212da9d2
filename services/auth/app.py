"""Builds the auth service: its database, its sign-in back end, its endpoints and webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from services.auth import endpoints, webhooks
from services.auth.effects import webhook_effects
from services.auth.hosted import open_hosted
from services.auth.hosted_sign_in import HostedSignIn
from services.auth.identity_providers import (
    IdentityProvider,
    NoIdentities,
    ReferenceIdentities,
    SupabaseIdentities,
)
from services.auth.mail import open_mailer
from services.auth.owners import ASK_SECONDS, ImageOwners
from services.auth.passwords import Passwords
from services.auth.service import AuthService
from services.auth.sessions import Sessions
from services.auth.settings import AuthSettings
from services.auth.sign_in import LocalSignIn, SignIn
from services.auth.status import Addresses, StatusBoard, served_domains
from shared.auth.tokens import TokenIssuer
from shared.manifest import Manifest, load_manifest
from shared.placement import Database, PlacementUnknownError
from shared.web.app import create_service_app
from shared.web.database import open_app_database
from shared.web.maintenance_source import MaintenanceTable
from shared.webhooks import WebhookIntake, WebhookProcessor, webhook_readers
from shared.webhooks.processor import Kicker

NAME = "auth"


def build(settings: AuthSettings, manifest: Manifest | None = None) -> FastAPI:
    """The app; raises ManifestError and WebhookSecretError for settings that cannot be used."""
    known = manifest or load_manifest(settings.manifest)
    readers = webhook_readers(settings)

    @asynccontextmanager
    async def open_auth(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                open_app_database(app, NAME, settings, known)
            )
            app.state.database = database
            app.state.auth = await _service(stack, settings, database)
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=settings.owners_url, timeout=ASK_SECONDS)
            )
            app.state.image_owners = ImageOwners(client)
            app.state.link_domain = settings.link_domain
            platform = app.state.platform
            addresses = Addresses(
                settings.domain_health_urls, settings.app_urls, settings.monolith_url
            )
            app.state.status_board = StatusBoard(
                app.state.health,
                MaintenanceTable(platform.pool),
                client,
                lambda: _asked(addresses, database),
            )
            modes = platform.maintenance
            processor = WebhookProcessor(
                database, webhook_effects(), is_held=lambda: modes.mode_of(NAME).name != "off"
            )
            kicker = Kicker(processor)
            stack.push_async_callback(kicker.close)
            app.state.webhooks = WebhookIntake(database, readers, kicker=kicker)
            yield

    routers = [endpoints.router, webhooks.router]
    return create_service_app(NAME, settings=settings, routers=routers, lifespan=[open_auth])


async def _service(
    stack: AsyncExitStack, settings: AuthSettings, database: Database
) -> AuthService:
    issuer = TokenIssuer(
        settings.jwt_secrets[0].get_secret_value(),
        settings.jwt_issuer or settings.public_base_url,
    )
    sessions = Sessions(issuer, settings.public_base_url)
    mailer = await stack.enter_async_context(open_mailer(settings))
    local = LocalSignIn(database, sessions, Passwords(), mailer)
    sign_in: SignIn = local
    if settings.auth_backend == "supabase":
        url, key = settings.supabase_url or "", _text(settings.supabase_service_key)
        hosted = await stack.enter_async_context(open_hosted(url, key))
        sign_in = HostedSignIn(database, sessions, hosted, local)
    identities = await _identities(stack, settings)
    return AuthService(database, sessions, sign_in, identities)


async def _identities(stack: AsyncExitStack, settings: AuthSettings) -> IdentityProvider:
    if settings.providers == "reference":
        return ReferenceIdentities([one.get_secret_value() for one in settings.jwt_secrets])
    key = _text(settings.supabase_anon_key or settings.supabase_service_key)
    if not settings.supabase_url or not key:
        return NoIdentities()
    return SupabaseIdentities(
        await stack.enter_async_context(open_hosted(settings.supabase_url, key))
    )


def _asked(addresses: Addresses, database: Database) -> dict[str, str]:
    """Whom to ask now; without any knowledge of the flags nothing is served elsewhere."""
    try:
        served = served_domains(database.control.flags)
    except PlacementUnknownError:
        return addresses.asked(())
    return addresses.asked(served)


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
