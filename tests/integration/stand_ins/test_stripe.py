"""Stripe's own SDK against its stand-in, and our verifier against the deliveries."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe

from shared.webhooks.providers import StripeReader
from tests.integration.stand_ins.conftest import Receiver
from tests.support.stand_in_process import StandIns

# stripe's asynchronous httpx client passes `data=` where httpx wants `content=`
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

SECRET = "whsec_of_the_test"
PRICE, YEARLY = "price_pro", "price_pro_year"


@pytest.fixture
async def client(stand_ins: StandIns) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.HTTPXClient(timeout=5.0)
    yield stripe.StripeClient(
        "sk_test_stand_in",
        http_client=http,
        base_addresses={"api": f"{stand_ins.url}/stripe"},
        max_network_retries=0,
    )
    await http.close_async()  # type: ignore[no-untyped-call]


async def _subscribed(client: stripe.StripeClient, email: str = "ann@example.com") -> Any:
    customer = await client.v1.customers.create_async({"email": email})
    return await client.v1.subscriptions.create_async(
        {"customer": customer.id, "items": [{"price": PRICE}], "metadata": {"user_id": "u1"}}
    )


async def _page(method: str, url: str) -> httpx.Response:
    async with httpx.AsyncClient() as browser:
        return await browser.request(method, url)


async def test_the_same_idempotency_key_gives_the_same_customer(
    client: stripe.StripeClient,
) -> None:
    options: Any = {"idempotency_key": "customer:1"}
    first = await client.v1.customers.create_async({"email": "ann@example.com"}, options)
    again = await client.v1.customers.create_async({"email": "ann@example.com"}, options)
    assert again.id == first.id
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.customers.create_async({"email": "bob@example.com"}, options)
    assert len((await client.v1.customers.list_async()).data) == 1


async def test_a_paid_checkout_makes_a_subscription_with_its_metadata(
    client: stripe.StripeClient, stand_ins: StandIns
) -> None:
    customer = await client.v1.customers.create_async({"email": "ann@example.com"})
    session = await client.v1.checkout.sessions.create_async(
        {
            "mode": "subscription",
            "customer": customer.id,
            "client_reference_id": "u1",
            "line_items": [{"price": PRICE, "quantity": 1}],
            "success_url": "https://app.example.com/done?session={CHECKOUT_SESSION_ID}",
            "subscription_data": {"metadata": {"user_id": "u1"}, "trial_period_days": 7},
        }
    )
    assert session.url is not None
    assert "Pay" in (await _page("GET", session.url)).text
    paid = await _page("POST", f"{session.url}/pay")
    assert paid.headers["location"] == f"https://app.example.com/done?session={session.id}"
    done = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.status, done.payment_status) == ("complete", "paid")
    made = await client.v1.subscriptions.retrieve_async(str(done.subscription))
    assert (made.status, made.metadata["user_id"]) == ("trialing", "u1")
    item = made["items"]["data"][0]
    assert item["price"]["id"] == PRICE
    assert item["current_period_end"] == made.trial_end
    events = (await client.v1.events.list_async({"limit": 100})).data
    assert [event.type for event in reversed(events)] == [
        "customer.created",
        "customer.subscription.created",
        "invoice.payment_succeeded",
        "checkout.session.completed",
    ]
    assert stand_ins.get("/_requests", vendor="stripe")[0]["headers"]["authorization"] == "***"


async def test_a_portal_session_leads_to_a_page(client: stripe.StripeClient) -> None:
    customer = await client.v1.customers.create_async({"email": "ann@example.com"})
    portal = await client.v1.billing_portal.sessions.create_async(
        {"customer": customer.id, "return_url": "https://app.example.com/"}
    )
    assert (await _page("GET", portal.url)).status_code == 200


async def test_a_subscription_changes_pauses_and_ends(client: stripe.StripeClient) -> None:
    made = await _subscribed(client)
    item = made["items"]["data"][0]["id"]
    changed = await client.v1.subscriptions.update_async(
        made.id, {"items": [{"id": item, "price": YEARLY}], "metadata": {"plan": "year"}}
    )
    assert [one["price"]["id"] for one in changed["items"]["data"]] == [YEARLY]
    assert changed.metadata.to_dict() == {"user_id": "u1", "plan": "year"}
    paused = await client.v1.subscriptions.update_async(
        made.id, {"pause_collection": {"behavior": "void"}}
    )
    assert paused.pause_collection is not None
    resumed = await client.v1.subscriptions.update_async(made.id, {"pause_collection": ""})
    assert resumed.pause_collection is None
    ending = await client.v1.subscriptions.update_async(made.id, {"cancel_at_period_end": True})
    assert ending.cancel_at == ending["items"]["data"][0]["current_period_end"]
    gone = await client.v1.subscriptions.cancel_async(made.id)
    assert gone.status == "canceled"
    assert (await client.v1.subscriptions.list_async()).data == []
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.subscriptions.update_async(made.id, {"cancel_at_period_end": False})


async def test_a_schedule_moves_the_price_to_the_next_period(client: stripe.StripeClient) -> None:
    made = await _subscribed(client)
    schedule = await client.v1.subscription_schedules.create_async({"from_subscription": made.id})
    assert schedule.phases[0]["items"][0].price == PRICE
    phases: Any = [{"items": [{"price": PRICE}]}, {"items": [{"price": YEARLY}]}]
    updated = await client.v1.subscription_schedules.update_async(schedule.id, {"phases": phases})
    assert updated.phases[1]["items"][0].price == YEARLY


async def test_a_declined_card_changes_nothing(client: stripe.StripeClient) -> None:
    made = await _subscribed(client)
    await client.v1.customers.update_async(made.customer, {"email": "ann+declined@example.com"})
    item = made["items"]["data"][0]["id"]
    with pytest.raises(stripe.CardError) as caught:
        await client.v1.subscriptions.update_async(
            made.id, {"items": [{"id": item, "price": YEARLY}]}
        )
    assert (caught.value.code, caught.value.http_status) == ("card_declined", 402)
    after = await client.v1.subscriptions.retrieve_async(made.id)
    assert after["items"]["data"][0]["price"]["id"] == PRICE


async def test_a_declined_checkout_stays_open(client: stripe.StripeClient) -> None:
    customer = await client.v1.customers.create_async({"email": "ann+declined@example.com"})
    session = await client.v1.checkout.sessions.create_async(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": PRICE, "quantity": 1}],
            "success_url": "https://app.example.com/done",
        }
    )
    assert (await _page("POST", f"{session.url}/pay")).status_code == 402
    after = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (after.status, after.subscription) == ("open", None)


async def test_lists_go_on_after_an_id_until_their_end(client: stripe.StripeClient) -> None:
    ids = [(await client.v1.customers.create_async({"email": f"{n}@x.org"})).id for n in range(5)]
    page = await client.v1.customers.list_async({"limit": 2})
    assert page.has_more
    found = [customer.id async for customer in page.auto_paging_iter()]
    assert found == list(reversed(ids))


async def test_unknown_ids_and_keys_are_refused(
    client: stripe.StripeClient, stand_ins: StandIns
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.subscriptions.retrieve_async("sub_nobody")
    assert caught.value.code == "resource_missing"
    assert stand_ins.status("/stripe/v1/customers", {"authorization": "Bearer x"}) == 401


async def test_deliveries_are_signed_anew_and_tried_until_taken(
    client: stripe.StripeClient, stand_ins: StandIns, receiver: Receiver
) -> None:
    receiver.statuses = [500, 503]
    stand_ins.direct("stripe", receiver.url, SECRET)
    await client.v1.customers.create_async({"email": "ann@example.com"})
    await receiver.until(lambda: len(receiver.came) == 3)
    reader = StripeReader([SECRET], livemode=False)
    read = [reader.read(headers, body, time.time()) for headers, body in receiver.came]
    assert {one.event_type for one in read} == {"customer.created"}
    assert len({one.event_id for one in read}) == 1
    headers, body = receiver.came[-1]
    event = stripe.Webhook.construct_event(body, headers["stripe-signature"], SECRET)
    assert event.data.object["email"] == "ann@example.com"
    assert (await client.v1.events.retrieve_async(event.id)).to_dict() == json.loads(body)
    await receiver.until(lambda: len(stand_ins.get("/_deliveries")) == 3)
    assert [one["status"] for one in stand_ins.get("/_deliveries")] == [500, 503, 200]


async def test_a_receiver_that_never_takes_is_given_up(
    client: stripe.StripeClient, stand_ins: StandIns, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 10
    stand_ins.direct("stripe", receiver.url, SECRET)
    await client.v1.customers.create_async({"email": "ann@example.com"})
    await receiver.until(lambda: len(stand_ins.get("/_deliveries")) == 4)
    assert [one["attempt"] for one in stand_ins.get("/_deliveries")] == [1, 2, 3, 4]
