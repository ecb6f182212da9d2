"""Quotas on the real functions: never overspent, never counted twice, never lost by a cancellation."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import anyio
import asyncpg
import pytest

from shared.errors import CallerError, Code
from shared.placement.connection import Pool
from shared.quota import UNLIMITED, Quotas, complete, shown


async def user(pool: Pool, tier: int = 0) -> UUID:
    """A user, with a subscription of that tier."""
    user_id: UUID = await pool.fetchval(
        "INSERT INTO users (email, referral_code) VALUES ($1, $2) RETURNING id",
        f"{uuid4()}@example.com",
        "".join(letter for letter in uuid4().hex.upper() if letter in "ABCDEF234567").ljust(8, "A")[
            :8
        ],
    )
    if tier:
        await pool.execute(
            "INSERT INTO subscriptions (user_id, provider, provider_subscription_id, price_id, tier, status)"
            " VALUES ($1, 'stripe', $2, $3, $4, 'active')",
            user_id,
            f"sub_{uuid4().hex}",
            "price_pro" if tier == 1 else "price_max",
            tier,
        )
    return user_id


async def counters(pool: Pool, user_id: UUID, quota_type: str) -> tuple[int, int, int]:
    """(used, held, bonus) as stored."""
    row = await pool.fetchrow(
        "SELECT used, held, bonus FROM user_quotas WHERE user_id = $1 AND quota_type = $2",
        user_id,
        quota_type,
    )
    return (row["used"], row["held"], row["bonus"]) if row else (0, 0, 0)


async def test_fifty_parallel_reservations_never_overspend(pool: Pool, quotas: Quotas) -> None:
    someone = await user(pool)  # free: 5 chats a day

    async def spend() -> bool:
        try:
            held = await quotas.reserve(someone, "chat", subject=uuid4())
        except CallerError:
            return False
        await asyncio.sleep(0.01)
        await quotas.settle(held.id, 100)
        return True

    spent = await asyncio.gather(*(spend() for _ in range(50)))
    assert spent.count(True) == 5
    assert await counters(pool, someone, "chat") == (5, 0, 0)


async def test_unlimited_is_null_in_the_data_and_minus_one_only_when_shown(
    pool: Pool, quotas: Quotas
) -> None:
    someone = await user(pool, tier=2)
    held = [await quotas.reserve(someone, "chat", subject=uuid4()) for _ in range(20)]
    assert {entry.remaining for entry in held} == {None}
    assert shown(held[0].remaining) == UNLIMITED == -1
    for entry in held:
        assert await quotas.settle(entry.id)
    status = await quotas.status(someone)
    assert (status["chat"].limit, status["chat"].remaining, status["chat"].used) == (None, None, 20)


async def test_a_refusal_carries_what_the_client_needs_to_upgrade(
    pool: Pool, quotas: Quotas
) -> None:
    someone = await user(pool)
    with pytest.raises(CallerError) as caught:
        await quotas.reserve(someone, "image_generation")
    assert caught.value.code is Code.INSUFFICIENT_QUOTA
    details = caught.value.details
    assert (details["remaining"], details["limit"], details["upgrade_to"]) == (0, 0, 1)
    assert details["quota_type"] == "image_generation"
    assert details["resets_at"].endswith(".000Z")


async def test_settling_and_refunding_twice_change_nothing(pool: Pool, quotas: Quotas) -> None:
    someone = await user(pool)
    first = await quotas.reserve(someone, "chat", subject=uuid4())
    assert await quotas.settle(first.id, 10)
    assert not await quotas.settle(first.id, 10)
    second = await quotas.reserve(someone, "chat", subject=uuid4())
    assert await quotas.refund(second.id)
    assert not await quotas.refund(second.id)
    assert not await quotas.settle(second.id, 10)
    assert await counters(pool, someone, "chat") == (1, 0, 0)


async def test_one_attempt_that_is_repeated_is_charged_once(pool: Pool, quotas: Quotas) -> None:
    someone, attempt, conversation = await user(pool), uuid4(), uuid4()
    first = await quotas.reserve(someone, "chat", subject=conversation, attempt_id=attempt)
    again = await quotas.reserve(someone, "chat", subject=conversation, attempt_id=attempt)
    assert again.id == first.id
    assert await counters(pool, someone, "chat") == (0, 1, 0)


async def test_the_second_message_of_a_conversation_costs_nothing_that_day(
    pool: Pool, quotas: Quotas
) -> None:
    someone, conversation = await user(pool), uuid4()
    for _ in range(3):
        held = await quotas.reserve(someone, "chat", subject=conversation)
        await quotas.settle(held.id)
    assert await counters(pool, someone, "chat") == (1, 0, 0)


@pytest.mark.parametrize("amount", [0, -5])
async def test_an_amount_below_one_is_refused_before_the_database(
    quotas: Quotas, amount: int
) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        await quotas.reserve(uuid4(), "chat", amount)


async def test_an_unknown_quota_type_or_user_is_an_error_and_never_free(
    pool: Pool, quotas: Quotas
) -> None:
    someone = await user(pool)
    with pytest.raises(asyncpg.PostgresError):
        await quotas.reserve(someone, "premum")  # type: ignore[arg-type]
    with pytest.raises(asyncpg.PostgresError):
        await quotas.reserve(uuid4(), "chat")


async def test_token_counts_beyond_32_bits_are_kept(pool: Pool, quotas: Quotas) -> None:
    someone = await user(pool)
    held = await quotas.reserve(someone, "chat", subject=uuid4())
    await quotas.settle(held.id, 5_000_000_000)
    assert (await quotas.status(someone))["chat"].tokens_used == 5_000_000_000


async def test_a_bonus_is_granted_once_per_source_and_spent_after_the_allowance(
    pool: Pool, quotas: Quotas
) -> None:
    someone = await user(pool)
    assert await quotas.grant(someone, "chat", 2, "referral", "r1")
    assert not await quotas.grant(someone, "chat", 2, "referral", "r1")
    for _ in range(7):
        held = await quotas.reserve(someone, "chat", subject=uuid4())
        await quotas.settle(held.id)
    assert await counters(pool, someone, "chat") == (5, 0, 0)
    with pytest.raises(CallerError):
        await quotas.reserve(someone, "chat", subject=uuid4())


async def test_upgrading_raises_the_limit_at_once_and_keeps_what_was_used(
    pool: Pool, quotas: Quotas
) -> None:
    someone = await user(pool, tier=1)
    held = await quotas.reserve(someone, "premium_model", 30)
    await quotas.settle(held.id)
    await pool.execute(
        "UPDATE subscriptions SET tier = 2, price_id = 'price_max' WHERE user_id = $1", someone
    )
    status = (await quotas.status(someone))["premium_model"]
    assert (status.limit, status.used) == (None, 30)
    await pool.execute(
        "UPDATE subscriptions SET tier = 1, price_id = 'price_pro' WHERE user_id = $1", someone
    )
    status = (await quotas.status(someone))["premium_model"]
    assert (status.limit, status.used, status.remaining) == (100, 30, 70)


async def test_a_new_period_starts_by_itself(pool: Pool, quotas: Quotas) -> None:
    someone = await user(pool)
    for _ in range(5):
        held = await quotas.reserve(someone, "chat", subject=uuid4())
        await quotas.settle(held.id)
    await pool.execute(
        "UPDATE user_quotas SET period_start = period_start - interval '3 days' WHERE user_id = $1",
        someone,
    )
    assert (await quotas.reserve(someone, "chat", subject=uuid4())).remaining == 4
    event = await pool.fetchval("SELECT body->'data' FROM outbox WHERE type = 'quota.reset'")
    assert event is not None


async def test_what_nobody_closes_is_refunded_by_the_sweep(pool: Pool, quotas: Quotas) -> None:
    someone = await user(pool)
    await quotas.reserve(someone, "chat", subject=uuid4())
    assert await quotas.sweep() == 0
    await pool.execute("UPDATE quota_reservations SET expires_at = now() - interval '1 second'")
    assert await quotas.sweep() == 1
    assert await counters(pool, someone, "chat") == (0, 0, 0)


async def test_a_charge_is_settled_when_it_was_kept_and_refunded_otherwise(
    pool: Pool, quotas: Quotas
) -> None:
    someone = await user(pool)
    async with quotas.charge(someone, "chat", subject=uuid4()) as charge:
        charge.keep(tokens=42)
    with pytest.raises(ConnectionError):
        async with quotas.charge(someone, "chat", subject=uuid4()):
            raise ConnectionError
    assert await counters(pool, someone, "chat") == (1, 0, 0)
    assert (await quotas.status(someone))["chat"].tokens_used == 42


async def test_a_charge_that_was_settled_with_the_result_is_not_touched_again(
    pool: Pool, quotas: Quotas
) -> None:
    someone = await user(pool)
    async with quotas.charge(someone, "chat", subject=uuid4()) as charge:
        async with pool.acquire() as connection, connection.transaction():
            await quotas.settle(charge.reservation_id, 7, connection=connection)
        charge.closed()
    assert await counters(pool, someone, "chat") == (1, 0, 0)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("kind", ["asyncio", "anyio"])
async def test_a_cancelled_stream_always_settles_or_refunds(
    pool: Pool, quotas: Quotas, kept: bool, kind: str
) -> None:
    someone = await user(pool)
    streaming = asyncio.Event()

    async def stream() -> None:
        async with quotas.charge(someone, "chat", subject=uuid4()) as charge:
            if kept:
                charge.keep(tokens=5)
            streaming.set()
            await asyncio.sleep(60)

    if kind == "asyncio":
        task = asyncio.create_task(stream())
        await streaming.wait()
        for _ in range(3):  # an impatient server cancels again
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(stream)
            await streaming.wait()
            group.cancel_scope.cancel()
    assert await counters(pool, someone, "chat") == (1 if kept else 0, 0, 0)


async def test_work_that_is_completed_reports_its_own_error_and_its_deadline() -> None:
    async def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await complete(fails(), seconds=1)
    with pytest.raises(TimeoutError):
        await complete(asyncio.sleep(60), seconds=0.01)


async def test_the_functions_are_not_executable_by_everybody(pool: Pool) -> None:
    rows = await pool.fetch(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'public' AND (p.proname LIKE 'quota%' OR p.proname = 'emit_event')"
        " AND has_function_privilege('public', p.oid, 'EXECUTE')"
    )
    assert rows == []
    assert await pool.fetchval("SELECT count(*) FROM pg_proc WHERE proname = 'quota_reserve'") == 1
