"""Stories: parameters in, wire models out."""

from __future__ import annotations

from services.community.endpoints.parameters import (
    AfterCursor,
    CurrentCaller,
    Service,
    after_moment,
    after_number,
    next_cursor,
)
from shared.auth.dependencies import CurrentUser, OptionalUser
from shared.contract.community import (
    DraftStory,
    LikeStory,
    Story,
    StoryDrafted,
    StoryLiked,
    StoryPage,
    StorySort,
    UpdateStory,
)
from shared.contract.values import Id
from shared.web.cursors import Limit
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()


@router.endpoint("community.story_draft")
async def draft(community: Service, caller: CurrentCaller, body: DraftStory) -> StoryDrafted:
    return await community.drafts.make(caller, body)


@router.endpoint("community.story_list")
async def list_(
    community: Service,
    viewer: OptionalUser,
    after: AfterCursor,
    sort: StorySort = "new",
    mine: bool = False,
    limit: Limit = 20,
) -> StoryPage:
    by_likes = sort == "top" and not mine
    place = after_number(after) if by_likes else after_moment(after)
    viewer_id = viewer.id if viewer is not None else None
    page = await community.stories.page(viewer_id, sort, mine=mine, after=place, limit=limit)
    return StoryPage(
        items=tuple(page.items),
        next_cursor=next_cursor(page.last),
        has_more=page.last is not None,
    )


@router.endpoint("community.story_get")
async def get(community: Service, viewer: OptionalUser, story_id: Id) -> Story:
    return await community.stories.get(viewer.id if viewer is not None else None, story_id)


@router.endpoint("community.story_update")
async def update(community: Service, user: CurrentUser, story_id: Id, body: UpdateStory) -> Story:
    return await community.stories.update(user.id, story_id, body)


@router.endpoint("community.story_publish")
async def publish(community: Service, user: CurrentUser, story_id: Id) -> Story:
    return await community.stories.publish(user.id, story_id)


@router.endpoint("community.story_like")
async def like(community: Service, user: CurrentUser, story_id: Id, body: LikeStory) -> StoryLiked:
    return await community.stories.like(user.id, story_id, liked=body.liked)


@router.endpoint("community.story_delete")
async def delete(community: Service, user: CurrentUser, story_id: Id) -> None:
    await community.stories.delete(user.id, story_id)
