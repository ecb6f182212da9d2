"""Puts the stand-ins of all vendors into one application; knows what each is called, not what it does."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel, SecretStr

from migrate.stack.stand_ins.anthropic import anthropic_app
from migrate.stack.stand_ins.blob import BlobStore, blob_app
from migrate.stack.stand_ins.deliveries import WebhookPost
from migrate.stack.stand_ins.openai import openai_app
from migrate.stack.stand_ins.outbox import MailOutbox
from migrate.stack.stand_ins.recording import Recorder, RecordingMiddleware
from migrate.stack.stand_ins.sendgrid import sendgrid_app
from migrate.stack.stand_ins.settings import Endpoint, StandInSettings
from migrate.stack.stand_ins.stripe.app import stripe_app
from migrate.stack.stand_ins.stripe.books import StripeBooks
from migrate.stack.stand_ins.supabase import supabase_app
from migrate.stack.stand_ins.supabase_users import SupabaseUsers
from migrate.stack.stand_ins.tmdb import tmdb_app


class Receiver(BaseModel):
    """Body of `PUT /_webhooks/{provider}`."""

    url: str
    secret: SecretStr


def build(settings: StandInSettings, outbox: MailOutbox) -> FastAPI:
    """One app with every vendor under a path of its own, and the paths for tests under `/_`."""
    recorder = Recorder()
    post = WebhookPost(settings.endpoints, settings.retry_seconds)
    books = StripeBooks(f"{settings.url}/stripe", post)
    users = SupabaseUsers(f"{settings.url}/supabase", post)
    blobs = BlobStore()
    app = FastAPI(title="Stand-ins of vendors", openapi_url=None)
    app.add_middleware(RecordingMiddleware, recorder=recorder)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/_reset")
    async def reset() -> dict[str, bool]:
        await post.reset()
        for state in (recorder, books, users, blobs, outbox):
            state.reset()
        return {"reset": True}

    @app.get("/_requests")
    async def requests(vendor: str | None = None) -> list[dict[str, object]]:
        return recorder.listing(vendor)

    @app.get("/_deliveries")
    async def deliveries() -> list[dict[str, object]]:
        return post.listing()

    @app.get("/_mail")
    async def mail() -> list[dict[str, object]]:
        return outbox.listing()

    @app.put("/_webhooks/{provider}")
    async def direct(provider: str, receiver: Receiver) -> dict[str, str]:
        post.direct(provider, Endpoint(receiver.url, receiver.secret.get_secret_value()))
        return {"provider": provider, "url": receiver.url}

    app.mount("/stripe", stripe_app(books))
    app.mount("/anthropic", anthropic_app(settings))
    app.mount("/openai", openai_app(settings))
    app.mount("/supabase", supabase_app(users))
    app.mount("/tmdb", tmdb_app())
    app.mount("/sendgrid", sendgrid_app(outbox))
    app.mount("/blob", blob_app(blobs))
    return app
