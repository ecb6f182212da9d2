"""New stories: written by the user, or by the model for a unit of the quota `story`."""

from __future__ import annotations

import asyncio
from uuid import UUID

from services.community.models import Row, story_of
from services.community.owners import Caller, Owners
from services.community.providers.interfaces import Providers, StoryWish, WrittenStory
from services.community.repository import stories
from services.community.repository.accounts import Accounts
from services.community.service.moderation import check_texts
from services.community.service.news import tell
from shared.contract.community import DraftStory, StoryDrafted
from shared.errors import CallerError, Code, invalid_fields, provider_timed_out
from shared.placement import Database
from shared.placement.connection import Connection
from shared.quota import UNLIMITED, Charge, Quotas, shown

#: With moderation before it below the 55 s in which the route must answer (contract, 1.17).
PROVIDER_SECONDS = 40.0
TITLE_MAX = 200


class Drafts:
    """Makes stories that only their author sees."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        owners: Owners,
        quotas: Quotas,
        providers: Providers,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._owners = owners
        self._quotas = quotas
        self._providers = providers

    async def make(self, caller: Caller, draft: DraftStory) -> StoryDrafted:
        """With content it is stored as it stands, free of charge; without, the model writes it."""
        conversation = draft.conversation_id
        if conversation is not None and not await self._owners.owns_conversation(
            caller, conversation
        ):
            raise invalid_fields(("body.conversation_id", "is not a conversation of yours"))
        scenario = draft.scenario
        await check_texts(
            self._providers.moderator,
            draft.title,
            draft.content,
            draft.universe,
            *draft.characters,
            scenario.setting,
            scenario.tone,
            *scenario.themes,
        )
        if draft.content is not None and draft.title is not None:
            text = WrittenStory(draft.title, draft.content, 0)
            row = await self._keep(caller.id, draft, text, None)
            return await self._shown(row, await self._story_quota(caller.id))
        async with self._quotas.charge(caller.id, "story") as charge:
            text = await self._written(draft)
            if not await self._accounts.is_live(caller.id):  # nobody would erase what they leave
                raise CallerError(Code.ACCOUNT_DELETED, "This account was deleted")
            row = await self._keep(caller.id, draft, text, charge)
        return await self._shown(row, shown(charge.remaining))

    async def _written(self, draft: DraftStory) -> WrittenStory:
        scenario = draft.scenario
        wish = StoryWish(
            characters=draft.characters,
            universe=draft.universe,
            title=draft.title,
            setting=scenario.setting,
            tone=scenario.tone,
            themes=scenario.themes,
        )
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                return await self._providers.storyteller.tell(wish)
        except TimeoutError as error:
            raise provider_timed_out("the model took too long for a story", "model") from error

    async def _keep(
        self, user_id: UUID, draft: DraftStory, text: WrittenStory, charge: Charge | None
    ) -> Row:
        """Row and event in one transaction; with the charge, where it is one database."""

        async def insert(connection: Connection) -> tuple[Row, bool]:
            row = await stories.add(
                connection, user_id, draft, text.title[:TITLE_MAX], text.content
            )
            data = {
                "story_id": row["id"],
                "generated": charge is not None,
                "reservation_id": charge.reservation_id if charge is not None else None,
            }
            await tell(connection, "story.created", user_id, data)
            if charge is None or self._database.side(connection) != "shared":
                return row, False
            await self._quotas.settle(charge.reservation_id, text.tokens, connection=connection)
            return row, True

        row, is_settled = await self._database.transaction(insert)
        if charge is not None:
            charge.closed() if is_settled else charge.keep(text.tokens)
        return row

    async def _story_quota(self, user_id: UUID) -> int:
        """What is left of the quota that was not charged."""
        found = (await self._quotas.status(user_id)).get("story")
        return shown(found.remaining) if found is not None else UNLIMITED

    async def _shown(self, row: Row, remaining: int) -> StoryDrafted:
        story = story_of(row, await self._accounts.authors([row["user_id"]]))
        return StoryDrafted.model_validate({**dict(story), "remaining_quota": remaining})
