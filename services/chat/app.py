"""Builds the chat service: its database, its providers, its endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.chat.endpoints import ROUTERS
from services.chat.providers.choice import open_providers
from services.chat.providers.interfaces import Providers
from services.chat.repository.conversations import ConversationRepository
from services.chat.repository.exchanges import ExchangeRepository
from services.chat.repository.messages import MessageRepository
from services.chat.service.chat import Chat
from services.chat.service.conversations import Conversations
from services.chat.service.pictures import Pictures
from services.chat.service.streaming import Streaming
from services.chat.service.talking import Talking
from services.chat.service.voice import Voice
from services.chat.settings import ChatSettings
from shared.manifest import Manifest, load_manifest
from shared.placement import Database
from shared.quota import Quotas
from shared.storage import Storage, open_storage
from shared.web.app import create_service_app
from shared.web.database import open_app_database
from shared.web.platform import Platform

NAME = "chat"


def build(settings: ChatSettings, manifest: Manifest | None = None) -> FastAPI:
    """The app; raises ManifestError when the manifest of the settings cannot be read."""
    known = manifest or load_manifest(settings.manifest)

    @asynccontextmanager
    async def open_chat(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_app_database(app, NAME, settings, known) as database,
            open_storage(settings) as storage,
            open_providers(settings, app.state.platform.cache) as providers,
        ):
            app.state.chat = assemble(database, app.state.platform, storage, providers)
            yield

    return create_service_app(NAME, settings=settings, routers=ROUTERS, lifespan=[open_chat])


def assemble(
    database: Database, platform: Platform, storage: Storage, providers: Providers
) -> Chat:
    """The service over opened parts."""
    quotas = Quotas(database.shared)
    conversations = ConversationRepository(database)
    exchanges = ExchangeRepository(database, quotas)
    talking = Talking(conversations, exchanges, providers, quotas, platform.tiers)
    messages = MessageRepository(database)
    return Chat(
        talking=talking,
        streaming=Streaming(talking),
        conversations=Conversations(conversations, messages, providers.moderator),
        voice=Voice(providers.speech, quotas),
        pictures=Pictures(talking, providers.vision, storage, quotas),
    )
