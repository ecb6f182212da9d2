"""The one way to write what somebody has paid for: state in, row and event out, any number of times.

Buttons, deliveries and the reconciliation all end here. A state that is older than what is stored
changes nothing, one that is the same tells nobody, and the order of arrival does not matter.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.payments import repository
from services.payments.models import Held, State, plan_quotas
from services.payments.news import tell
from services.payments.rules import event_of, is_stale
from shared.placement import Connection


async def apply_state(
    connection: Connection,
    user_id: UUID,
    provider: str,
    subscription_id: str,
    held: Held | None,
    state: State,
    told_at: datetime,
) -> Held:
    """Bring a subscription to a state that a provider told at `told_at`.

    The caller holds the user's lock; `held` is the locked row, None if there is none yet.
    """
    if held is None:
        before = await repository.effective_tier(connection, user_id)
        made = await repository.insert(
            connection, user_id, provider, subscription_id, state, told_at
        )
        await _publish(connection, "subscription.created", made, before)
        return made
    if is_stale(held, told_at, state.status):
        return held
    return await change(connection, held, state, told_at)


async def change(connection: Connection, held: Held, state: State, told_at: datetime) -> Held:
    """Write a new state of a locked row; the version moves only if something is different."""
    before = await repository.effective_tier(connection, held.user_id)
    is_different = state != held.state
    now = await repository.write(connection, held, state, told_at, is_new_version=is_different)
    event = event_of(held.state, state) if is_different else None
    if event is not None:
        await _publish(connection, event, now, before)
    return now


async def _publish(connection: Connection, event: str, held: Held, old_tier: int) -> None:
    new_tier = await repository.effective_tier(connection, held.user_id)
    limits = await repository.limits_by_tier(connection)
    data = {
        "subscription_id": held.id,
        "provider": held.provider,
        "old_tier": old_tier,
        "new_tier": new_tier,
        "status": held.state.status,
        "current_period_end": held.state.current_period_end,
        "subscription_version": held.version,
        "quotas": dict(plan_quotas(limits.get(new_tier, {}))),
    }
    await tell(connection, event, held.user_id, data)
