"""One exchange with a character or a group: prompt, charge, reply, storing."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, aclosing
from uuid import UUID

from services.chat.models.exchange import (
    Exchange,
    Place,
    Replies,
    answer,
    new_exchange,
    new_place,
)
from services.chat.models.prompts import Prompt, Turn, history_tokens
from services.chat.models.rows import place_of
from services.chat.providers.interfaces import Providers
from services.chat.repository.conversations import ConversationRepository
from services.chat.repository.exchanges import ExchangeRepository
from shared.auth.accounts import Tiers
from shared.contract.chat import (
    PREMIUM_MODELS,
    ChatReply,
    ConversationType,
    GroupReply,
    GroupTalk,
    ModelName,
    Talk,
)
from shared.errors import (
    CallerError,
    Code,
    insufficient_tier,
    invalid_fields,
    not_found,
    provider_failed,
    provider_timed_out,
)
from shared.quota import Charge, Quotas

#: Longest wait for a whole reply that is not streamed, in seconds: below the 55 s of a generate
#: route, so that storing still fits.
REPLY_SECONDS = 45.0


class Talking:
    """Prompts, charges and whole replies; streams and pictures build on its parts."""

    def __init__(
        self,
        conversations: ConversationRepository,
        exchanges: ExchangeRepository,
        providers: Providers,
        quotas: Quotas,
        tiers: Tiers,
    ) -> None:
        self._conversations = conversations
        self._exchanges = exchanges
        self._quotas = quotas
        self._tiers = tiers
        self.providers = providers

    async def talk(self, user_id: UUID, said: Talk) -> ChatReply:
        """A message to one character, in a new or a known conversation."""
        place, tier = await self.place(user_id, said, "single")
        prompt = await self.prompt(place, said.model, said.message, tier)
        reply = await self._converse(user_id, place, prompt)
        assert isinstance(reply, ChatReply)  # noqa: S101 - the place is a single one
        return reply

    async def group_talk(self, user_id: UUID, conversation_id: UUID, said: GroupTalk) -> GroupReply:
        """A message to a group."""
        tier = await self.tier(user_id, said.model)
        place = await self.known_place(user_id, conversation_id, "group")
        prompt = await self.prompt(place, said.model, said.message, tier)
        reply = await self._converse(user_id, place, prompt)
        assert isinstance(reply, GroupReply)  # noqa: S101 - the place is a group
        return reply

    async def place(
        self,
        user_id: UUID,
        said: Talk,
        form: ConversationType | None,
        field_path: str = "body.character",
    ) -> tuple[Place, int]:
        """Where it is said, and the caller's tier; a new place needs a character."""
        if said.conversation_id is None:
            if said.character is None:
                raise invalid_fields((field_path, "is needed without conversation_id"))
            return new_place(said.character, said.series), await self.tier(user_id, said.model)
        if said.model in PREMIUM_MODELS:  # its refusal comes before that of the conversation
            tier = await self.tier(user_id, said.model)
            return await self.known_place(user_id, said.conversation_id, form), tier
        return await asyncio.gather(
            self.known_place(user_id, said.conversation_id, form), self.tier(user_id, said.model)
        )

    async def known_place(
        self, user_id: UUID, conversation_id: UUID, form: ConversationType | None
    ) -> Place:
        """The caller's conversation; CONFLICT if it is not of the form the route is for."""
        found = await self._conversations.find(user_id, conversation_id)
        if found is None:
            raise not_found("conversation")
        if form is not None and found.conversation_type != form:
            raise CallerError(Code.CONFLICT, f"This conversation is not a {form} one")
        return place_of(found)

    async def tier(self, user_id: UUID, model: ModelName) -> int:
        """The caller's tier; INSUFFICIENT_TIER, after a fresh read, if the model needs a higher one."""
        tier = await self._tiers.tier(user_id)
        if model in PREMIUM_MODELS and tier < 1:
            tier = await self._tiers.tier(user_id, fresh=True)
            if tier < 1:
                raise insufficient_tier(tier, 1)
        return tier

    async def moderate(self, text: str) -> None:
        """Raises CONTENT_REJECTED if moderation refuses the text."""
        if text and not await self.providers.moderator.allows(text):
            raise CallerError(Code.CONTENT_REJECTED, "Moderation refused this content")

    async def prompt(
        self, place: Place, model: ModelName, message: str, tier: int, *, is_streamed: bool = False
    ) -> Prompt:
        """The moderated message with what fits the tier's context; all sources asked at once."""
        _, history, background = await asyncio.gather(
            self.moderate(message),
            self._history(place, tier, message),
            self._backgrounds(place),
        )
        return Prompt(
            model,
            place.speakers,
            tuple(history),
            message,
            is_streamed,
            tuple(background),
            priority=tier,
        )

    def charge(
        self, user_id: UUID, place: Place, model: str
    ) -> AbstractAsyncContextManager[Charge]:
        """A chat unit for the conversation's day, or one premium message (contract, 5.2)."""
        if model in PREMIUM_MODELS:
            return self._quotas.charge(user_id, "premium_model")
        return self._quotas.charge(user_id, "chat", subject=place.id)

    async def collect(self, prompt: Prompt, seconds: float = REPLY_SECONDS) -> Replies:
        """All replies at once; PROVIDER_TIMEOUT when it takes longer, PROVIDER_ERROR for silence."""
        replies = Replies()
        try:
            async with (
                asyncio.timeout(seconds),
                aclosing(self.providers.model.replies(prompt)) as deltas,
            ):
                async for delta in deltas:
                    replies.add(delta.speaker, delta.text)
        except TimeoutError as error:
            raise provider_timed_out(f"no whole reply in {seconds:g} s", "model") from error
        if not replies.texts:
            raise provider_failed("the model said nothing", "model")
        return replies

    async def _history(self, place: Place, tier: int, message: str) -> list[Turn]:
        if place.is_new:
            return []
        return await self._conversations.history(place.id, history_tokens(tier, message))

    async def _backgrounds(self, place: Place) -> list[str]:
        known = self.providers.backgrounds
        return await asyncio.gather(*(known.of(one.name, one.series) for one in place.speakers))

    async def _converse(
        self, user_id: UUID, place: Place, prompt: Prompt
    ) -> ChatReply | GroupReply:
        """Ask the model, store, settle; a failure gives the charge back and stores nothing."""
        async with self.charge(user_id, place, prompt.model) as charge:
            exchange = new_exchange(user_id, place, prompt, charge)
            return await self.finish(exchange, await self.collect(prompt), charge)

    async def finish(
        self,
        exchange: Exchange,
        replies: Replies,
        charge: Charge,
        *,
        is_streamed: bool = False,
    ) -> ChatReply | GroupReply:
        """Store the replies while follow-up questions are thought of; the answer."""
        model = self.providers.model
        thinking = asyncio.create_task(model.follow_ups(exchange.prompt, replies.texts))
        try:
            stored_at = await self._exchanges.store(
                exchange, replies, charge, is_streamed=is_streamed
            )
            return answer(exchange, replies, await thinking, stored_at)
        finally:
            thinking.cancel()

    async def store(
        self, exchange: Exchange, replies: Replies, charge: Charge, *, is_streamed: bool
    ) -> None:
        """Store replies that have no answer any more."""
        await self._exchanges.store(exchange, replies, charge, is_streamed=is_streamed)
