"""The shared inbox: one delivery, any number of times, on either side, is applied exactly once."""

from __future__ import annotations

import asyncio
import random
import time
from uuid import uuid4

import asyncpg
import pytest

from shared.events import outbox
from shared.events.envelope import new_event
from shared.placement import Connection, Database
from shared.webhooks import Delivery, Effect, Verdict, WebhookIntake, WebhookProcessor
from shared.webhooks import inbox as store
from shared.webhooks.errors import SignatureInvalidError
from shared.webhooks.owners import list_owners, set_owner
from shared.webhooks.processor import Kicker
from shared.webhooks.providers import StripeReader
from shared.webhooks.senders import Outgoing, stripe_delivery

SECRET = "whsec_of_the_tests"
READERS = {"stripe": StripeReader([SECRET])}


def paid(number: int, type_: str = "invoice.paid") -> Outgoing:
    payload = {"id": f"evt_{number}", "object": "event", "type": type_, "livemode": False}
    return stripe_delivery(payload, SECRET, int(time.time()))


async def note(connection: Connection, delivery: Delivery) -> Effect:
    """The effect of these tests: one transaction row and one event per delivery, unguarded."""
    await connection.execute(
        "INSERT INTO payment_transactions (provider, provider_ref, kind, amount, currency, occurred_at)"
        " VALUES ('stripe', $1, 'payment', 1, 'usd', now())",
        f"{delivery.event_id}/{uuid4()}",  # so that a second effect would be seen
    )
    event = new_event(
        "payment.succeeded",
        source="payments",
        subject=None,
        data={
            "provider": "stripe",
            "provider_ref": delivery.event_id,
            "amount": 1,
            "currency": "usd",
        },
    )
    await outbox.add(connection, event)
    return Effect()


def processor(
    database: Database, side: str = "service", handler: object = note
) -> WebhookProcessor:
    return WebhookProcessor(
        database,
        {"stripe": {"invoice.paid": handler}},  # type: ignore[dict-item]
        side=side,  # type: ignore[arg-type]
    )


async def effects(database: Database) -> list[str]:
    rows = await database.fetch("SELECT provider_ref FROM payment_transactions ORDER BY 1")
    return [row["provider_ref"].partition("/")[0] for row in rows]


async def status(database: Database, number: int) -> tuple[str, int]:
    row = await database.fetchrow(
        "SELECT status, attempts FROM webhook_inbox WHERE event_id = $1", f"evt_{number}"
    )
    assert row is not None
    return row["status"], row["attempts"]


async def test_a_delivery_is_stored_answered_and_applied_once_however_often_it_comes(
    payments: Database,
) -> None:
    kicker = Kicker(processor(payments))
    intake = WebhookIntake(payments, READERS, kicker=kicker)
    sent = paid(1)
    receipts = await asyncio.gather(
        *(intake.receive("stripe", sent.headers, sent.body) for _ in range(10))
    )
    await kicker.close()
    assert sorted(receipt.duplicate for receipt in receipts) == [False] + [True] * 9
    assert receipts[0].body().keys() == {"received", "duplicate"}
    assert await effects(payments) == ["evt_1"]
    assert await status(payments, 1) == ("processed", 1)
    assert await payments.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_bad_signature_stores_nothing(payments: Database) -> None:
    intake = WebhookIntake(payments, READERS)
    with pytest.raises(SignatureInvalidError):
        await intake.receive("stripe", {"stripe-signature": "t=1,v1=00"}, b"{}")
    assert await payments.fetchval("SELECT count(*) FROM webhook_inbox") == 0


async def test_the_stored_headers_hold_no_secret(payments: Database) -> None:
    sent = paid(1)
    headers = {**sent.headers, "Authorization": "Bearer x", "Cookie": "a=b"}
    await WebhookIntake(payments, READERS).receive("stripe", headers, sent.body)
    kept = await payments.fetchval("SELECT headers::text FROM webhook_inbox")
    assert "Bearer" not in kept
    assert "a=b" not in kept
    assert "stripe-signature" in kept


async def test_both_sides_under_retries_and_owner_flips_apply_each_delivery_once(
    payments: Database,
) -> None:
    """Deliveries come to either side, some twice, both sides sweep all the time, the owner moves."""
    sides = ("monolith", "service")
    intakes = {
        side: WebhookIntake(payments, READERS, side=side, kicker=Kicker(processor(payments, side)))
        for side in sides
    }
    workers = [processor(payments, side) for side in sides for _ in range(2)]
    done = asyncio.Event()
    chosen = random.Random(7)

    async def send(number: int) -> None:
        for _ in range(chosen.randint(1, 3)):
            sent = paid(number)
            await intakes[chosen.choice(sides)].receive("stripe", sent.headers, sent.body)

    async def sweep(worker: WebhookProcessor) -> None:
        while not done.is_set():
            await worker.sweep()
            await asyncio.sleep(0.005)

    async def flip() -> None:
        for owner in ("service", "monolith", "service", None, "monolith", "service"):
            await payments.transaction(
                lambda connection, owner=owner: set_owner(connection, "stripe", "*", owner)  # type: ignore[misc]
            )
            await asyncio.sleep(0.03)

    sweeping = [asyncio.create_task(sweep(worker)) for worker in workers]
    flipping = asyncio.create_task(flip())
    for start in range(0, 100, 10):
        await asyncio.gather(*(send(number) for number in range(start, start + 10)))
    await flipping
    async with asyncio.timeout(20):
        while await payments.fetchval(
            "SELECT count(*) FROM webhook_inbox WHERE status <> 'processed'"
        ):
            await asyncio.sleep(0.02)
    done.set()
    await asyncio.gather(*sweeping)
    assert sorted(await effects(payments)) == sorted(f"evt_{number}" for number in range(100))
    assert await payments.fetchval("SELECT count(*) FROM outbox") == 100


async def test_only_the_owner_applies_and_stored_deliveries_move_with_it(
    payments: Database,
) -> None:
    service, monolith = processor(payments), processor(payments, "monolith")
    await WebhookIntake(payments, READERS, side="service").receive(
        "stripe", paid(1).headers, paid(1).body
    )
    await payments.transaction(lambda c: set_owner(c, "stripe", "*", "monolith"))
    assert await service.sweep() == 0
    assert await service.process("stripe", "evt_1") is None
    await payments.transaction(lambda c: set_owner(c, "stripe", "invoice.paid", "service"))
    assert await monolith.sweep() == 0
    assert await service.sweep() == 1
    assert await effects(payments) == ["evt_1"]
    owners = {(o.provider, o.event_type): o.owner for o in await payments.transaction(list_owners)}
    assert owners == {("stripe", "*"): "monolith", ("stripe", "invoice.paid"): "service"}


async def test_an_app_that_knows_nothing_of_owners_cannot_apply_what_is_not_its_own(
    payments: Database,
) -> None:
    sent = paid(1)
    await WebhookIntake(payments, READERS, side="monolith").receive(
        "stripe", sent.headers, sent.body
    )
    await payments.transaction(lambda c: set_owner(c, "stripe", "*", "service"))

    async def old_code(connection: Connection) -> None:
        await connection.execute("SELECT 1 FROM webhook_inbox WHERE event_id = 'evt_1' FOR UPDATE")
        await connection.execute(
            "INSERT INTO payment_transactions (provider, provider_ref, kind, amount, currency, occurred_at)"
            " VALUES ('stripe', 'old code', 'payment', 1, 'usd', now())"
        )
        await connection.execute(
            "UPDATE webhook_inbox SET status = 'processed', attempts = attempts + 1"
            " WHERE event_id = 'evt_1'"
        )

    with pytest.raises(asyncpg.PostgresError) as caught:
        await payments.transaction(old_code)
    assert caught.value.sqlstate == "SP004"
    await payments.transaction(
        lambda c: c.execute(
            "UPDATE webhook_inbox SET status = 'failed', attempts = attempts + 1, error = 'SP004'"
        )
    )
    assert await status(payments, 1) == ("received", 0)
    assert await processor(payments).sweep() == 1
    assert await effects(payments) == ["evt_1"]


async def test_a_failing_effect_leaves_nothing_and_is_tried_again_with_growing_pauses(
    payments: Database,
) -> None:
    broken = True

    async def fragile(connection: Connection, delivery: Delivery) -> Effect:
        await note(connection, delivery)
        if broken:
            raise LookupError("unknown price")
        return Effect()

    worker = processor(payments, handler=fragile)
    sent = paid(1)
    await WebhookIntake(payments, READERS).receive("stripe", sent.headers, sent.body)
    assert await worker.sweep() == 1
    assert await effects(payments) == []
    assert await status(payments, 1) == ("failed", 1)
    assert await worker.sweep() == 0  # not due yet: no hot loop
    error = await payments.fetchval("SELECT error FROM webhook_inbox")
    assert error == "LookupError: unknown price"
    tries = 0
    for _ in range(40):
        await _age(payments, seconds=10)
        tries += await worker.sweep()
    assert 3 <= tries <= 7  # 400 s are 5, 15, 35, 75, 155, 315 s
    broken = False
    await payments.transaction(lambda c: store.retry(c, "stripe", "evt_1"))
    assert await worker.sweep() == 1
    assert await effects(payments) == ["evt_1"]


async def test_a_delivery_for_an_unknown_user_is_deferred_and_applied_later(
    payments: Database,
) -> None:
    known = False

    async def needs_user(connection: Connection, delivery: Delivery) -> Effect:
        return await note(connection, delivery) if known else Effect(Verdict.DEFERRED)

    worker = processor(payments, handler=needs_user)
    sent = paid(1)
    await WebhookIntake(payments, READERS).receive("stripe", sent.headers, sent.body)
    await worker.sweep()
    assert await status(payments, 1) == ("deferred", 1)
    known = True
    await _age(payments, seconds=6)
    await worker.sweep()
    assert await status(payments, 1) == ("processed", 2)
    assert await effects(payments) == ["evt_1"]


async def test_unknown_types_are_ignored_and_done(payments: Database) -> None:
    sent = paid(1, "customer.tax_id.created")
    await WebhookIntake(payments, READERS).receive("stripe", sent.headers, sent.body)
    worker = processor(payments)
    assert await worker.sweep() == 1
    assert await status(payments, 1) == ("ignored", 1)
    assert await worker.sweep() == 0


async def test_after_three_days_it_is_an_alarm_and_can_still_be_retried_by_hand(
    payments: Database,
) -> None:
    sent = paid(1)
    await WebhookIntake(payments, READERS).receive("stripe", sent.headers, sent.body)
    await _age(payments, seconds=3 * 86_400 + 60)
    worker = processor(payments)
    assert await worker.sweep() == 0
    assert await worker.alarm() == 1
    assert await payments.transaction(lambda c: store.retry(c, "stripe", "evt_1"))
    assert await worker.sweep() == 1
    assert await worker.alarm() == 0


async def test_in_maintenance_deliveries_are_stored_and_wait(payments: Database) -> None:
    held = True
    worker = WebhookProcessor(payments, {"stripe": {"invoice.paid": note}}, is_held=lambda: held)
    sent = paid(1)
    receipt = await WebhookIntake(payments, READERS, kicker=Kicker(worker)).receive(
        "stripe", sent.headers, sent.body
    )
    assert not receipt.duplicate
    assert await worker.sweep() == 0
    held = False
    assert await worker.sweep() == 1


async def test_what_one_side_received_and_left_is_taken_by_the_other_after_a_minute(
    payments: Database,
) -> None:
    sent = paid(1)
    await WebhookIntake(payments, READERS, side="monolith").receive(
        "stripe", sent.headers, sent.body
    )
    service = processor(payments)
    assert await service.sweep() == 0
    await _age(payments, seconds=61)
    assert await service.sweep() == 1


async def _age(database: Database, *, seconds: float) -> None:
    """Let every delivery have come so much earlier."""
    await database.transaction(
        lambda connection: connection.execute(
            "UPDATE webhook_inbox SET received_at = received_at - make_interval(secs => $1)",
            float(seconds),
        )
    )
