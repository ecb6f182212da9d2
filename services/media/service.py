"""What the media domain does: joins rows, bytes, quotas and providers; knows no HTTP and no SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog

from services.media.models import NewMedia, Place, StoredMedia, media_of
from services.media.providers.interfaces import Providers, Wish
from services.media.repository import MediaRepository, is_live
from shared.contract.media import (
    Analysis,
    Generate,
    GeneratedMedia,
    Label,
    Media,
    MediaKind,
    MediaPurpose,
)
from shared.errors import (
    CallerError,
    Code,
    PeerError,
    not_found,
    provider_failed,
    provider_timed_out,
)
from shared.events import outbox
from shared.events.envelope import new_event
from shared.placement import Database
from shared.placement.connection import Connection
from shared.quota import Charge, Quotas, complete, shown
from shared.storage import Storage
from shared.web.uploads import File, image_size, image_type

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: With moderation before it below the 55 s in which the route must answer (contract, 1.17).
PROVIDER_SECONDS = 40.0
MODERATION_SECONDS = 8.0
CLEAN_UP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of images; `last` is the place to go on from, None at the end."""

    items: Sequence[Media]
    last: Place | None


class MediaService:
    """Images of users."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        quotas: Quotas,
        providers: Providers,
        *,
        base_url: str,
    ) -> None:
        """`base_url` is the public address of the product, without a slash at its end."""
        self._database = database
        self._repository = MediaRepository(database)
        self._storage = storage
        self._quotas = quotas
        self._providers = providers
        self._base_url = base_url

    async def upload(self, user_id: UUID, file: File, purpose: MediaPurpose) -> Media:
        """Keep a file of the user; publishes media.created."""
        return self._shown(await self._keep(NewMedia(user_id, file, "upload", purpose), None))

    async def generate(self, user_id: UUID, wanted: Generate) -> GeneratedMedia:
        """Have an image made, for one unit of `image_generation`; a failed call keeps nothing."""
        await self._moderate(wanted.prompt, wanted.style)
        async with self._quotas.charge(user_id, "image_generation") as charge:
            wish = Wish(wanted.prompt, wanted.size, wanted.style)
            made = await _in_time(self._providers.images.make(wish), PROVIDER_SECONDS, "image")
            await self._require_account(user_id)
            new = NewMedia(
                user_id,
                _picture(made.content),
                "generated",
                wanted.purpose,
                wanted.prompt,
                made.model,
            )
            media = self._shown(await self._keep(new, charge))
        return GeneratedMedia.model_validate(
            {**dict(media), "remaining_quota": shown(charge.remaining)}
        )

    async def analyze(self, user_id: UUID, source: File | UUID, question: str) -> Analysis:
        """Look at a file that is not kept, or at an own image, for one unit of `image_recognition`."""
        if isinstance(source, UUID):
            stored = await self._own(user_id, source)
            content, content_type = await self.content(stored), stored.content_type
        else:
            content, content_type = source.content, source.content_type
        await self._moderate(question)
        async with self._quotas.charge(user_id, "image_recognition") as charge:
            looking = self._providers.images.look(content, content_type, question)
            seen = await _in_time(looking, PROVIDER_SECONDS, "image")
            charge.keep()
        return Analysis(
            description=seen.description,
            labels=tuple(Label(name=label.name, score=label.score) for label in seen.labels),
            media_id=source if isinstance(source, UUID) else None,
            model=seen.model,
            remaining_quota=shown(charge.remaining),
        )

    async def page(
        self,
        user_id: UUID,
        kind: MediaKind | None,
        purpose: MediaPurpose | None,
        after: Place | None,
        limit: int,
    ) -> Listing:
        """Own images, newest first."""
        found = await self._repository.page(user_id, kind, purpose, after, limit + 1)
        page = found[:limit]
        last = Place(page[-1].created_at, page[-1].id) if len(found) > limit else None
        return Listing([self._shown(stored) for stored in page], last)

    async def get(self, user_id: UUID, media_id: UUID) -> Media:
        return self._shown(await self._own(user_id, media_id))

    async def find(self, media_id: UUID) -> StoredMedia:
        """Anybody's image: its id is the permission to see it."""
        stored = await self._repository.find(media_id)
        if stored is None:
            raise not_found("image")
        return stored

    async def content(self, stored: StoredMedia) -> bytes:
        """The bytes of an image; NOT_FOUND if they are gone."""
        content = await self._storage.get(stored.storage_key)
        if content is None:
            raise not_found("image")
        return content

    async def delete(self, user_id: UUID, media_id: UUID) -> None:
        """Remove an own image, first the row, then the bytes; publishes media.deleted."""

        async def remove(connection: Connection) -> str:
            key = await self._repository.remove(connection, user_id, media_id)
            if key is None:
                raise not_found("image")
            event = new_event(
                "media.deleted", source="media", subject=user_id, data={"media_id": media_id}
            )
            await outbox.add(connection, event)
            return key

        await self._storage.delete(await self._database.transaction(remove))

    async def _keep(self, new: NewMedia, charge: Charge | None) -> StoredMedia:
        """Bytes, then row and event in one transaction; with the charge, where it is one database."""
        await self._storage.put(new.storage_key, new.file.content, new.file.content_type)
        try:
            stored, is_settled = await self._database.transaction(
                lambda connection: self._insert(connection, new, charge)
            )
        except BaseException:
            await complete(self._forget(new.storage_key), seconds=CLEAN_UP_SECONDS)
            raise
        if charge is not None:
            charge.closed() if is_settled else charge.keep()
        return stored

    async def _insert(
        self, connection: Connection, new: NewMedia, charge: Charge | None
    ) -> tuple[StoredMedia, bool]:
        """The row, and whether its charge was settled in the same transaction."""
        stored = await self._repository.add(connection, new)
        data = {
            "media_id": new.id,
            "kind": new.kind,
            "purpose": new.purpose,
            "reservation_id": charge.reservation_id if charge is not None else None,
        }
        event = new_event("media.created", source="media", subject=new.user_id, data=data)
        await outbox.add(connection, event)
        if charge is None or self._database.side(connection) != "shared":
            return stored, False
        await self._quotas.settle(charge.reservation_id, connection=connection)
        return stored, True

    async def _forget(self, key: str) -> None:
        """Remove bytes whose row was not written; the error that led here matters more."""
        try:
            await self._storage.delete(key)
        except PeerError as error:
            log.warning("file_without_row", storage_key=key, reason=error.message)

    async def _own(self, user_id: UUID, media_id: UUID) -> StoredMedia:
        stored = await self._repository.find_own(user_id, media_id)
        if stored is None:
            raise not_found("image")
        return stored

    async def _require_account(self, user_id: UUID) -> None:
        """Whoever left while a provider worked gets no row that nobody would erase."""
        if not await is_live(self._database.shared, user_id):
            raise CallerError(Code.ACCOUNT_DELETED, "This account was deleted")

    async def _moderate(self, *texts: str | None) -> None:
        text = "\n".join(text for text in texts if text)
        if not text:
            return
        judging = self._providers.moderator.allows(text)
        if not await _in_time(judging, MODERATION_SECONDS, "model"):
            raise CallerError(Code.CONTENT_REJECTED, "This text breaks the rules of the community")

    def _shown(self, stored: StoredMedia) -> Media:
        return media_of(stored, self._base_url)


def _picture(content: bytes) -> File:
    """What a provider sent, by its leading bytes."""
    content_type = image_type(content)
    if content_type is None:
        raise provider_failed("the provider sent bytes of no known image type", "image")
    return File(content, content_type, *image_size(content, content_type))


async def _in_time(work: Awaitable[T], seconds: float, kind: str) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise provider_timed_out(f"the {kind} provider took too long", kind) from error
