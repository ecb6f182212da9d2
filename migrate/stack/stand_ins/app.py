"""Puts the stand-ins of all vendors into one application; knows what each is called, not what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastapi import FastAPI
from pydantic import BaseModel, SecretStr

from migrate.stack.stand_ins.anthropic import anthropic_app
from migrate.stack.stand_ins.blob import BlobStore, blob_app
from migrate.stack.stand_ins.clerk import ClerkPeople, clerk_app
from migrate.stack.stand_ins.deliveries import WebhookPost
from migrate.stack.stand_ins.openai import openai_app
from migrate.stack.stand_ins.openid import OpenIdProviders, openid_app
from migrate.stack.stand_ins.outbox import MailOutbox
from migrate.stack.stand_ins.recording import Recorder, RecordingMiddleware
from migrate.stack.stand_ins.revenuecat import RevenueCatEvents, revenuecat_app
from migrate.stack.stand_ins.sendgrid import sendgrid_app
from migrate.stack.stand_ins.settings import Endpoint, StandInSettings
from migrate.stack.stand_ins.stripe.app import stripe_app
from migrate.stack.stand_ins.stripe.books import StripeBooks
from migrate.stack.stand_ins.supabase import supabase_app
from migrate.stack.stand_ins.supabase_codes import SupabaseCodes
from migrate.stack.stand_ins.supabase_users import SupabaseUsers
from migrate.stack.stand_ins.tmdb import tmdb_app
from migrate.stack.stand_ins.tvdb import tvdb_app
from migrate.stack.stand_ins.wikipedia import wikipedia_app


class Resettable(Protocol):
    """What a vendor remembers."""

    def reset(self) -> None: ...


class Receiver(BaseModel):
    """Body of `PUT /_webhooks/{provider}`."""

    url: str
    secret: SecretStr


class SupabaseProject(BaseModel):
    """Body of `PUT /_supabase`: settings of the project until the next reset."""

    confirms_by_mail: bool


def build(settings: StandInSettings, outbox: MailOutbox) -> FastAPI:
    """One app with every vendor under a path of its own, and the paths for tests under `/_`."""
    recorder = Recorder()
    post = WebhookPost(settings.endpoints, settings.retry_seconds)
    books = StripeBooks(f"{settings.url}/stripe", post)
    users = SupabaseUsers(f"{settings.url}/supabase", post)
    openid = OpenIdProviders(f"{settings.url}/openid")
    codes = SupabaseCodes(users, outbox, openid)
    clerk = ClerkPeople(f"{settings.url}/clerk", post)
    purchases = RevenueCatEvents(post)
    blobs = BlobStore()
    app = FastAPI(title="Stand-ins of vendors", openapi_url=None)
    app.add_middleware(RecordingMiddleware, recorder=recorder)
    _add_reports(app, recorder, post, outbox)
    _add_switches(
        app, post, users, (recorder, books, users, codes, openid, clerk, purchases, blobs, outbox)
    )
    vendors = {
        "stripe": stripe_app(books),
        "anthropic": anthropic_app(settings),
        "openai": openai_app(settings),
        "supabase": supabase_app(users, codes),
        "openid": openid_app(openid),
        "clerk": clerk_app(clerk),
        "revenuecat": revenuecat_app(purchases),
        "tmdb": tmdb_app(),
        "tvdb": tvdb_app(),
        "wikipedia": wikipedia_app(),
        "sendgrid": sendgrid_app(outbox),
        "blob": blob_app(blobs),
    }
    for name, vendor in vendors.items():
        app.mount(f"/{name}", vendor)
    return app


def _add_reports(app: FastAPI, recorder: Recorder, post: WebhookPost, outbox: MailOutbox) -> None:
    @app.get("/healthz")
    @app.get("/readyz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/_requests")
    async def requests(vendor: str | None = None) -> list[dict[str, object]]:
        return recorder.listing(vendor)

    @app.get("/_deliveries")
    async def deliveries() -> list[dict[str, object]]:
        return post.listing()

    @app.get("/_mail")
    async def mail() -> list[dict[str, object]]:
        return outbox.listing()


def _add_switches(
    app: FastAPI, post: WebhookPost, users: SupabaseUsers, states: Sequence[Resettable]
) -> None:
    @app.post("/_reset")
    async def reset() -> dict[str, bool]:
        await post.reset()
        for state in states:
            state.reset()
        return {"reset": True}

    @app.put("/_webhooks/{provider}")
    async def direct(provider: str, receiver: Receiver) -> dict[str, str]:
        post.direct(provider, Endpoint(receiver.url, receiver.secret.get_secret_value()))
        return {"provider": provider, "url": receiver.url}

    @app.put("/_supabase")
    async def project(wanted: SupabaseProject) -> SupabaseProject:
        users.confirms_by_mail = wanted.confirms_by_mail
        return wanted
