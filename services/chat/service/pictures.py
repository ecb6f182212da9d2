"""Showing a character a picture: looked at, answered, kept (contract, 2.2)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

from services.chat.models.exchange import Exchange, Picture, new_exchange
from services.chat.models.prompts import Prompt
from services.chat.providers.interfaces import VisionProvider
from services.chat.service.talking import Talking
from shared.contract.chat import ChatReply, GroupReply, ImageReply, Talk
from shared.errors import provider_timed_out
from shared.quota import Charge, Quotas, complete
from shared.storage import Storage, media_key
from shared.web.uploads import File

#: For looking and for the reply, in seconds: with moderation, storage and follow-up questions both
#: fit into the 55 s in which the route must answer.
LOOK_SECONDS = 15.0
REPLY_SECONDS = 22.0
CLEAN_SECONDS = 10.0


class Pictures:
    """Exchanges that begin with a picture."""

    def __init__(
        self, talking: Talking, vision: VisionProvider, storage: Storage, quotas: Quotas
    ) -> None:
        self._talking = talking
        self._vision = vision
        self._storage = storage
        self._quotas = quotas

    async def show(self, user_id: UUID, said: Talk, image: File) -> ImageReply:
        """`image_recognition` 1 and no chat unit; a failure stores nothing and costs nothing."""
        place, tier = await self._talking.place(user_id, said, "single", "form.character")
        prompt = await self._talking.prompt(place, said.model, said.message, tier)
        picture = _picture(image)
        async with self._quotas.charge(user_id, "image_recognition") as charge:
            description = await self._look(image)
            seen = replace(prompt, picture=description)
            exchange = new_exchange(user_id, place, seen, charge, picture)
            reply = await self._answered(exchange, seen, image, picture, charge)
        return ImageReply(**reply.model_dump(), media_id=picture.media_id, description=description)

    async def _answered(
        self, exchange: Exchange, prompt: Prompt, image: File, picture: Picture, charge: Charge
    ) -> ChatReply | GroupReply:
        replies = await self._talking.collect(prompt, REPLY_SECONDS)
        try:
            await self._storage.put(picture.storage_key, image.content, image.content_type)
            return await self._talking.finish(exchange, replies, charge)
        except BaseException:
            if not charge.is_kept:  # no row will ever speak of these bytes
                await complete(self._storage.delete(picture.storage_key), seconds=CLEAN_SECONDS)
            raise

    async def _look(self, image: File) -> str:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._vision.describe(image.content, image.content_type)
        except TimeoutError as error:
            raise provider_timed_out(f"no answer in {LOOK_SECONDS:g} s", "image") from error


def _picture(image: File) -> Picture:
    media_id = uuid4()
    return Picture(
        media_id=media_id,
        storage_key=media_key(media_id),
        content_type=image.content_type,
        bytes=len(image.content),
        width=image.width,
        height=image.height,
        sha256=image.sha256,
    )
