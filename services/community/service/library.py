"""Scenarios, characters, and votes on anything of the community."""

from __future__ import annotations

from uuid import UUID

from services.community.models import Place, Row, character_of, image_url, scenario_of
from services.community.owners import Caller, Owners
from services.community.providers.interfaces import Moderator
from services.community.repository import characters, votes
from services.community.repository.accounts import Accounts
from services.community.repository.scenarios import ScenarioRepository
from services.community.service.moderation import check_texts
from services.community.service.news import tell
from services.community.service.pages import Listing, cut
from shared.contract.community import (
    CommunityCharacter,
    CreateCharacter,
    CreateScenario,
    Scenario,
    ScenarioScope,
    Vote,
    VoteResult,
)
from shared.errors import invalid_fields, not_found
from shared.placement import Database
from shared.placement.connection import Connection


class Library:
    """What people make for others to play with."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        owners: Owners,
        moderator: Moderator,
        *,
        base_url: str,
    ) -> None:
        self._database = database
        self._scenarios = ScenarioRepository(database)
        self._accounts = accounts
        self._owners = owners
        self._moderator = moderator
        self._base_url = base_url

    async def create_scenario(self, user_id: UUID, new: CreateScenario) -> Scenario:
        await check_texts(
            self._moderator, new.title, new.description, new.setting, new.tone, *new.characters
        )
        row = await self._scenarios.add(user_id, new)
        return scenario_of(row, await self._accounts.authors([user_id]))

    async def scenarios(
        self, user_id: UUID, scope: ScenarioScope, after: Place | None, limit: int
    ) -> Listing[Scenario]:
        """Public ones or the user's own, newest first."""
        rows = await self._scenarios.page(user_id, scope, after, limit + 1)
        page, last = cut(rows, limit, "created_at")
        authors = await self._accounts.authors(row["creator_id"] for row in page)
        return Listing([scenario_of(row, authors) for row in page], last)

    async def vote(self, user_id: UUID, vote: Vote) -> VoteResult:
        """On what the user may see; 0 takes the vote back."""

        async def cast(connection: Connection) -> Row:
            if not await votes.is_visible(connection, user_id, vote):
                raise not_found(vote.target_type)
            await votes.cast(connection, user_id, vote)
            return await votes.count(connection, vote)

        count = await self._database.transaction(cast)
        return VoteResult(
            target_type=vote.target_type,
            target_id=vote.target_id,
            value=vote.value,
            score=count["up"] - count["down"],
            up=count["up"],
            down=count["down"],
        )

    async def create_character(self, caller: Caller, new: CreateCharacter) -> CommunityCharacter:
        """A published one appears in the catalogue under the same id."""
        image = new.image_media_id
        if image is not None and not await self._owners.owns_image(caller, image):
            raise invalid_fields(("body.image_media_id", "is not an image of yours"))
        await check_texts(self._moderator, new.name, new.universe, new.description, new.personality)

        async def insert(connection: Connection) -> Row:
            row = await characters.add(connection, caller.id, new)
            if row["published"]:
                await self._announce(connection, row)
            return row

        row = await self._database.transaction(insert)
        return character_of(row, await self._accounts.authors([caller.id]), self._base_url)

    async def _announce(self, connection: Connection, row: Row) -> None:
        data = {
            "character_id": row["id"],
            "name": row["name"],
            "universe": row["universe"],
            "description": row["description"],
            "image_url": image_url(self._base_url, row["image_media_id"]),
            "creator_id": row["creator_id"],
        }
        await tell(connection, "character.published", row["creator_id"], data)
