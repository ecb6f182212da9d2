"""Builds the web app out of the domains; the only place where they meet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from monolith.context import Context, Part, build_context
from monolith.domain import Domain
from monolith.domains import DOMAINS
from monolith.front import FrontDoor
from monolith.metrics import Metrics
from monolith.openapi import complete_document
from monolith.providers.desk import Providers
from monolith.settings import Settings
from monolith.storage import Storage
from monolith.system import probes
from monolith.system.routes import router as system_router
from monolith.system.status import StatusBoard
from monolith.webhooks.desk import ProviderEffect, WebhookDesk


def build_app(settings: Settings, domains: Sequence[Domain] = DOMAINS) -> FastAPI:
    """The whole old API as one ASGI app; nothing connects before its lifespan starts."""
    context = build_context(settings, "web", [StatusBoard(), *parts_of(settings, domains)])
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await context.open()
        try:
            yield
        finally:
            await context.close()

    app = FastAPI(
        title="SceneXtras API",
        version=settings.version,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # no part of the public contract; `app.openapi()` still describes it
    )
    app.state.context = context
    app.state.domains = tuple(domains)
    app.state.metrics = metrics
    for router in (*(domain.router for domain in domains), system_router):
        app.router.routes.extend(router.api.routes)
    app.router.routes.extend(probes.routes())
    app.add_middleware(FrontDoor, context=context, routes=app.router.routes, metrics=metrics)
    complete_document(app)
    return app


def parts_of(settings: Settings, domains: Sequence[Domain]) -> list[Part]:
    """What web process and worker both hold: providers, files, webhook effects, domain parts."""
    effects = {
        provider: ProviderEffect(domain.name, effect)
        for domain in domains
        for provider, effect in domain.webhooks.items()
    }
    own = [part for domain in domains for part in domain.parts(settings)]
    return [Providers(settings), Storage(settings), WebhookDesk(effects), *own]


def context_of(app: FastAPI) -> Context:
    context: Context = app.state.context
    return context
