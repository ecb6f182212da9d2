"""Stories: read, change, publish, like, delete."""

from __future__ import annotations

from uuid import UUID

from services.community.models import Place, Row, story_item_of, story_of
from services.community.providers.interfaces import Moderator
from services.community.repository import stories
from services.community.repository.accounts import Accounts
from services.community.repository.notifications import Notice
from services.community.repository.stories import StoryOrder, StoryRepository
from services.community.service.moderation import check_texts
from services.community.service.news import notify, tell
from services.community.service.pages import Listing, cut
from shared.contract.community import (
    Story,
    StoryItem,
    StoryLiked,
    StorySort,
    UpdateStory,
)
from shared.errors import not_found
from shared.placement import Database
from shared.placement.connection import Connection

_ORDERS: dict[StorySort, StoryOrder] = {"new": "published_at", "top": "like_count"}


class Stories:
    """Stories of everybody, as a viewer sees them."""

    def __init__(self, database: Database, accounts: Accounts, moderator: Moderator) -> None:
        self._database = database
        self._stories = StoryRepository(database)
        self._accounts = accounts
        self._moderator = moderator

    async def page(
        self, viewer: UUID | None, sort: StorySort, *, mine: bool, after: Place | None, limit: int
    ) -> Listing[StoryItem]:
        """Published ones by time or likes, or all of the viewer's by age; nobody's own are none."""
        if mine and viewer is None:
            return Listing((), None)
        order: StoryOrder = "created_at" if mine else _ORDERS[sort]
        rows = await self._stories.page(viewer, mine=mine, order=order, after=after, rows=limit + 1)
        page, last = cut(rows, limit, order)
        authors = await self._accounts.authors(row["user_id"] for row in page)
        return Listing([story_item_of(row, authors) for row in page], last)

    async def get(self, viewer: UUID | None, story_id: UUID) -> Story:
        """A published story, or a draft of the viewer."""
        row = await self._stories.find(viewer, story_id)
        if row is None:
            raise not_found("story")
        return story_of(row, await self._accounts.authors([row["user_id"]]))

    async def update(self, user_id: UUID, story_id: UUID, given: UpdateStory) -> Story:
        """Change what was sent of an own story."""
        await self._own(user_id, story_id)
        scenario = given.scenario
        sent = given.model_fields_set
        await check_texts(
            self._moderator,
            given.title if "title" in sent else None,
            given.content if "content" in sent else None,
            given.universe,
            *given.characters,
            scenario.setting,
            scenario.tone,
            *scenario.themes,
        )
        if sent:
            await self._stories.update(user_id, story_id, given)
        return await self.get(user_id, story_id)

    async def publish(self, user_id: UUID, story_id: UUID) -> Story:
        """Once; publishing again changes nothing and tells nobody."""
        row = await self._own(user_id, story_id)
        if not row["published"]:
            await check_texts(self._moderator, row["title"], row["content"])
            await self._database.transaction(
                lambda connection: self._publish(connection, user_id, story_id)
            )
        return await self.get(user_id, story_id)

    async def _publish(self, connection: Connection, user_id: UUID, story_id: UUID) -> None:
        title = await stories.publish(connection, story_id)
        if title is not None:
            data = {"story_id": story_id, "title": title}
            await tell(connection, "story.published", user_id, data)

    async def like(self, user_id: UUID, story_id: UUID, *, liked: bool) -> StoryLiked:
        """Like a published story, or take it back; the author hears of the first like."""

        async def set_like(connection: Connection) -> int:
            story = await stories.lock_published(connection, story_id)
            if story is None:
                raise not_found("story")
            count = await stories.set_like(connection, story_id, user_id, liked=liked)
            if count is None:
                unchanged: int = story["like_count"]
                return unchanged
            await self._tell_like(connection, user_id, story_id, story, liked=liked)
            return count

        count = await self._database.transaction(set_like)
        return StoryLiked(story_id=story_id, liked=liked, like_count=count)

    async def _tell_like(
        self, connection: Connection, user_id: UUID, story_id: UUID, story: Row, *, liked: bool
    ) -> None:
        author: UUID = story["user_id"]
        data = {"story_id": story_id, "author_id": author, "liked": liked}
        await tell(connection, "story.liked", user_id, data)
        if liked and author != user_id:
            notice = Notice(
                author,
                "story_like",
                "Somebody likes your story",
                story["title"],
                f"like:{story_id}:{user_id}",
                {"story_id": str(story_id), "user_id": str(user_id)},
            )
            await notify(connection, self._accounts, notice)

    async def delete(self, user_id: UUID, story_id: UUID) -> None:
        """An own story, with its likes and votes."""

        async def remove(connection: Connection) -> None:
            published = await stories.remove(connection, user_id, story_id)
            if published is None:
                raise not_found("story")
            data = {"story_id": story_id, "was_published": published}
            await tell(connection, "story.deleted", user_id, data)

        await self._database.transaction(remove)

    async def _own(self, user_id: UUID, story_id: UUID) -> Row:
        row = await self._stories.find(user_id, story_id)
        if row is None or row["user_id"] != user_id:
            raise not_found("story")
        return row
