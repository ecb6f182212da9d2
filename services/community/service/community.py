"""The parts of the domain as one process holds them; builds them, decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from services.community.live.hub import RoomHub
from services.community.owners import Owners
from services.community.providers.interfaces import Providers
from services.community.repository.accounts import Accounts
from services.community.service.conversation import (
    BUCKET,
    MESSAGES_PER_MINUTE,
    RoomConversation,
)
from services.community.service.drafts import Drafts
from services.community.service.library import Library
from services.community.service.notices import Notices
from services.community.service.rooms import Rooms
from services.community.service.stories import Stories
from services.community.settings import CommunitySettings
from shared.placement import Database
from shared.quota import Quotas
from shared.ratelimit.buckets import RateLimits
from shared.ratelimit.limiter import Counter, RateLimiter


@dataclass(frozen=True, slots=True)
class Community:
    """Reach it as `request.app.state.community`."""

    stories: Stories
    drafts: Drafts
    rooms: Rooms
    conversation: RoomConversation
    library: Library
    notices: Notices


def build_community(
    database: Database,
    *,
    hub: RoomHub,
    owners: Owners,
    providers: Providers,
    counter: Counter,
    settings: CommunitySettings,
) -> Community:
    """All parts on one database."""
    base_url = settings.public_base_url
    accounts = Accounts(database.shared, base_url)
    moderator = providers.moderator
    limiter = RateLimiter(counter, RateLimits({BUCKET: MESSAGES_PER_MINUTE}))
    return Community(
        stories=Stories(database, accounts, moderator),
        drafts=Drafts(database, accounts, owners, Quotas(database.shared), providers),
        rooms=Rooms(database, accounts, hub),
        conversation=RoomConversation(
            database, accounts, hub, limiter, silence_seconds=settings.room_silence_seconds
        ),
        library=Library(database, accounts, owners, moderator, base_url=base_url),
        notices=Notices(database),
    )
