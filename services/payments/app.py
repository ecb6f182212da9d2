"""Builds the payments service: its database, its provider, its endpoints and webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from services.payments import endpoints, webhooks
from services.payments.effects import webhook_effects
from services.payments.service import PaymentsService
from services.payments.settings import PaymentsSettings
from services.payments.stripe_provider import open_provider
from shared.manifest import Manifest, load_manifest
from shared.web.app import create_service_app
from shared.web.database import open_app_database
from shared.webhooks import WebhookIntake, WebhookProcessor, webhook_readers
from shared.webhooks.processor import Kicker

NAME = "payments"


def build(settings: PaymentsSettings, manifest: Manifest | None = None) -> FastAPI:
    """The app; raises ManifestError and WebhookSecretError for settings that cannot be used."""
    known = manifest or load_manifest(settings.manifest)
    readers = webhook_readers(settings)

    @asynccontextmanager
    async def open_payments(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                open_app_database(app, NAME, settings, known)
            )
            provider = await stack.enter_async_context(open_provider(settings))
            app.state.database = database
            app.state.payments = PaymentsService(database, provider)
            app.state.return_hosts = settings.hosts_of_return
            app.state.payments_livemode = settings.payments_livemode
            modes = app.state.platform.maintenance
            processor = WebhookProcessor(
                database, webhook_effects(), is_held=lambda: modes.mode_of(NAME).name != "off"
            )
            kicker = Kicker(processor)
            stack.push_async_callback(kicker.close)
            app.state.webhooks = WebhookIntake(database, readers, kicker=kicker)
            yield

    routers = [endpoints.router, webhooks.router]
    return create_service_app(NAME, settings=settings, routers=routers, lifespan=[open_payments])
