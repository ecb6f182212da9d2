"""Changes of an account that come from outside or end it, with their events; knows no sender."""

from __future__ import annotations

from uuid import UUID

from services.auth import referrals, repository
from services.auth.models import clean_name
from services.auth.news import tell, tell_created
from services.auth.sessions import revoke_all
from shared.errors import CallerError, Code
from shared.placement import Connection


def email_taken() -> CallerError:
    return CallerError(Code.EMAIL_TAKEN, "Another account has this address")


async def create_outside_user(
    connection: Connection, user_id: UUID | None, email: str, name: str | None, provider: str
) -> UUID | None:
    """A confirmed account for somebody whom a hosted service signed up.

    None if another request has just made the account with this id. Raises EMAIL_TAKEN.
    """
    made = await repository.insert_user(
        connection, email, confirmed=True, user_id=user_id, name=clean_name(name)
    )
    if made is None:
        if user_id is None or await repository.is_deleted(connection, user_id) is None:
            raise email_taken()
        return None
    await tell_created(connection, made, await repository.facts_of(connection, made), provider)
    return made


async def update_outside_user(
    connection: Connection, user_id: UUID, email: str | None, name: str | None
) -> None:
    """Take over address and name; publishes user.updated with what really changed."""
    facts = await repository.facts_of(connection, user_id)
    changed: list[str] = []
    if email is not None and email.lower() != facts.email.lower():
        if await repository.is_taken_by_another(connection, email, user_id):
            raise email_taken()
        await repository.set_email(connection, user_id, email)
        changed.append("email")
    wanted = clean_name(name)
    if wanted is not None and wanted != facts.name:
        changed += await repository.change_profile(connection, user_id, {"name": wanted})
    if changed:
        await tell(connection, "user.updated", user_id, {"changed": changed})


async def confirm_account(connection: Connection, user_id: UUID, provider: str) -> None:
    """First proof of the address: the account begins, its referral counts."""
    facts = await repository.confirm(connection, user_id)
    if facts is None:
        return
    referred_by = await referrals.referrer_of(connection, user_id)
    await tell_created(connection, user_id, facts, provider, referred_by)
    await referrals.confirm_pending(connection, user_id)


async def erase_account(connection: Connection, user_id: UUID) -> bool:
    """Mark an account deleted and clear what is here; the others follow by user.deleted."""
    if not await repository.mark_deleted(connection, user_id):
        return False
    await revoke_all(connection, user_id)
    await tell(connection, "user.deleted", user_id, {})
    return True
