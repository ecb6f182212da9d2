"""What the content domain does about events of others (contract, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.content import community_characters
from services.content.models import PublishedCharacter
from shared.events.consumer import Handler
from shared.events.envelope import Event
from shared.placement import Database
from shared.placement.connection import Connection


class ContentEvents:
    """Handlers; each runs in the transaction of its inbox row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def handlers(self) -> Mapping[str, Handler]:
        """By event type, as the manifest subscribes."""
        return {"character.published": self.publish, "user.deleted": self.erase}

    async def publish(self, connection: Connection, event: Event) -> None:
        """Put the character into the catalogue, unless its creator is gone by now."""
        data = event.data
        creator = data["creator_id"]
        if creator is None or not await community_characters.is_live(
            self._database.shared, UUID(creator)
        ):
            return
        character = PublishedCharacter(
            id=UUID(data["character_id"]),
            name=data["name"],
            universe=data["universe"],
            description=data["description"],
            image_url=data["image_url"],
            creator_id=UUID(creator),
        )
        await community_characters.put(connection, character)

    async def erase(self, connection: Connection, event: Event) -> None:
        """Remove the characters that the user had published."""
        if event.subject is not None:
            await community_characters.erase_of(connection, UUID(event.subject))
