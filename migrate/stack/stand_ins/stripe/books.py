"""What the stand-in of Stripe remembers, and the events of each change; knows no HTTP."""

from __future__ import annotations

import copy
import time
from typing import Any

from migrate.stack.stand_ins.deliveries import WebhookPost
from migrate.stack.stand_ins.stripe import objects
from migrate.stack.stand_ins.stripe.errors import declined, invalid, missing
from migrate.stack.stand_ins.stripe.forms import Form, truth
from migrate.stack.stand_ins.stripe.objects import Json
from shared.webhooks.senders import Outgoing, stripe_delivery

#: Addresses of people and names of cards that the stand-in refuses to charge.
DECLINED_MARK = "+declined"
DECLINED_METHODS = frozenset({"pm_card_chargeDeclined", "pm_card_visa_chargeDeclined"})
PAGE_MAX = 100


class StripeBooks:
    """Every object by id, events newest last."""

    def __init__(self, url: str, post: WebhookPost) -> None:
        """`url` is the stand-in's own address; checkout pages live under it."""
        self._url = url
        self._post = post
        self.request: Json = {"id": None, "idempotency_key": None}
        self.reset()

    def reset(self) -> None:
        self._kept: dict[str, dict[str, Json]] = {}
        self.answers: dict[str, tuple[str, int, bytes]] = {}

    def get(self, kind: str, wanted: str) -> Json:
        found = self._kept.get(kind, {}).get(wanted)
        if found is None:
            raise missing(kind.replace("_", " "), wanted)
        return found

    def page(self, kind: str, form: Form, url: str) -> Json:
        """Newest first; filters `customer`, `email`, `status` and `type`, `starting_after` an id."""
        rows = list(reversed(self._kept.get(kind, {}).values()))
        for name in ("customer", "email", "status", "type"):
            if form.get(name) and form[name] != "all":
                rows = [row for row in rows if row.get(name) == form[name]]
        if kind == "subscription" and not form.get("status"):
            rows = [row for row in rows if row["status"] != "canceled"]
        if form.get("starting_after"):
            places = [n for n, row in enumerate(rows) if row["id"] == form["starting_after"]]
            rows = rows[places[0] + 1 :] if places else []
        limit = int(form.get("limit", 10))
        if not 1 <= limit <= PAGE_MAX:
            raise invalid(f"Invalid limit: {limit}", "limit", "parameter_invalid_integer")
        return objects.list_of(rows[:limit], url, len(rows) > limit)

    def note(self, kind: str, about: Json, previous: Json | None = None) -> None:
        """Store an event and deliver it, signed."""
        made = objects.event(kind, copy.deepcopy(about), previous, dict(self.request))
        self._keep(made)

        def sign(secret: str, now: int) -> Outgoing:
            return stripe_delivery(made, secret, now)

        self._post.send("stripe", made["id"], sign)

    def create_customer(self, form: Form) -> Json:
        made = objects.base("customer", "cus") | {
            "email": form.get("email"),
            "name": form.get("name"),
            "metadata": form.get("metadata") or {},
            "invoice_settings": {"default_payment_method": None},
        }
        self._keep(made)
        self.note("customer.created", made)
        return made

    def update_customer(self, customer_id: str, form: Form) -> Json:
        found = self.get("customer", customer_id)
        before = _apply(found, form, ("email", "name"))
        self.note("customer.updated", found, before)
        return found

    def create_coupon(self, form: Form) -> Json:
        percent = form.get("percent_off")
        made = objects.base("coupon", "co") | {
            "duration": form.get("duration", "once"),
            "percent_off": float(percent) if percent else None,
            "valid": True,
        }
        self._keep(made)
        return made

    def create_session(self, form: Form) -> Json:
        lines = form.get("line_items")
        if form.get("mode") != "subscription" or not lines or not form.get("success_url"):
            raise invalid("mode=subscription, line_items and success_url are needed", "mode")
        if form.get("customer"):
            self.get("customer", form["customer"])
        made = objects.base("checkout.session", "cs_test")
        made |= {
            "cancel_url": form.get("cancel_url"),
            "client_reference_id": form.get("client_reference_id"),
            "customer": form.get("customer"),
            "customer_email": form.get("customer_email"),
            "expires_at": made["created"] + objects.SESSION_SECONDS,
            "metadata": form.get("metadata") or {},
            "mode": "subscription",
            "payment_status": "unpaid",
            "status": "open",
            "subscription": None,
            "success_url": form["success_url"],
            "url": f"{self._url}/checkout/{made['id']}",
        }
        self._keep(made)
        self._kept.setdefault("order", {})[made["id"]] = form
        return made

    def create_portal(self, form: Form) -> Json:
        customer = self.get("customer", str(form.get("customer")))
        made = objects.base("billing_portal.session", "bps")
        self._keep(made)
        return made | {
            "customer": customer["id"],
            "return_url": form.get("return_url"),
            "url": f"{self._url}/portal/{made['id']}",
        }

    def pay(self, session_id: str) -> Json:
        """What a person does on the checkout page. Raises a card error for a declined person."""
        session = self.get("checkout.session", session_id)
        if session["status"] != "open":
            return session
        order = self.get("order", session_id)
        if session["customer"] is None:
            session["customer"] = self.create_customer({"email": session["customer_email"]})["id"]
        self._charge(session["customer"], None)
        wanted = order.get("subscription_data") or {}
        made = self.create_subscription(
            {
                "customer": session["customer"],
                "items": order["line_items"],
                "metadata": wanted.get("metadata") or {},
                "trial_period_days": wanted.get("trial_period_days"),
            }
        )
        session |= {"status": "complete", "payment_status": "paid", "subscription": made["id"]}
        self.note("checkout.session.completed", session)
        return session

    def expire(self, session_id: str) -> Json:
        session = self.get("checkout.session", session_id)
        if session["status"] != "open":
            raise invalid("Only Checkout Sessions with a status of open can be expired")
        session |= {"status": "expired", "url": None}
        self.note("checkout.session.expired", session)
        return session

    def create_subscription(self, form: Form) -> Json:
        customer = self.get("customer", str(form.get("customer")))
        if not form.get("items"):
            raise invalid("Missing required param: items.", "items", "parameter_missing")
        self._charge(customer["id"], form.get("default_payment_method"))
        prices = [(str(one["price"]), int(one.get("quantity", 1))) for one in form["items"]]
        made = objects.subscription(customer["id"], prices, int(form.get("trial_period_days") or 0))
        made["metadata"] = form.get("metadata") or {}
        self._keep(made)
        self.note("customer.subscription.created", made)
        self.note("invoice.payment_succeeded", objects.invoice(made, "subscription_create"))
        return made

    def update_subscription(self, subscription_id: str, form: Form) -> Json:
        found = self.get("subscription", subscription_id)
        if found["status"] == "canceled":
            raise invalid("A canceled subscription can only update its cancellation_details.")
        changed = [one for one in form.get("items") or [] if one.get("price")]
        if changed:
            self._charge(found["customer"], form.get("default_payment_method"))
        before = _apply(found, form, ("default_payment_method",))
        if changed:
            before["items"] = copy.deepcopy(found["items"])
            _change_prices(found, changed)
        if "cancel_at_period_end" in form:
            before["cancel_at_period_end"] = found["cancel_at_period_end"]
            _end_with_period(found, truth(form["cancel_at_period_end"]))
        if "pause_collection" in form:
            before["pause_collection"] = found["pause_collection"]
            found["pause_collection"] = _pause(form["pause_collection"])
        self.note("customer.subscription.updated", found, before)
        if changed:
            found["latest_invoice"] = objects.new_id("in")
            self.note("invoice.payment_succeeded", objects.invoice(found, "subscription_update"))
        return found

    def cancel_subscription(self, subscription_id: str) -> Json:
        found = self.get("subscription", subscription_id)
        if found["status"] == "canceled":
            raise missing("subscription", subscription_id)
        now = int(time.time())
        found |= {"status": "canceled", "canceled_at": now, "ended_at": now}
        self.note("customer.subscription.deleted", found)
        return found

    def create_schedule(self, form: Form) -> Json:
        found = self.get("subscription", str(form.get("from_subscription")))
        lines = found["items"]["data"]
        phase = {
            "items": [{"price": one["price"]["id"], "quantity": one["quantity"]} for one in lines],
            "start_date": lines[0]["current_period_start"],
            "end_date": lines[0]["current_period_end"],
        }
        made = objects.base("subscription_schedule", "sub_sched") | {
            "customer": found["customer"],
            "end_behavior": "release",
            "phases": [phase],
            "status": "active",
            "subscription": found["id"],
        }
        found["schedule"] = made["id"]
        self._keep(made)
        self.note("subscription_schedule.created", made)
        return made

    def update_schedule(self, schedule_id: str, form: Form) -> Json:
        found = self.get("subscription_schedule", schedule_id)
        if form.get("phases"):
            found["phases"] = form["phases"]
        self.note("subscription_schedule.updated", found)
        return found

    def _charge(self, customer_id: str, method: object) -> None:
        email = self.get("customer", customer_id)["email"] or ""
        if method in DECLINED_METHODS or DECLINED_MARK in email:
            raise declined()

    def _keep(self, made: Json) -> None:
        self._kept.setdefault(made["object"], {})[made["id"]] = made


def _apply(found: Json, form: Form, names: tuple[str, ...]) -> Json:
    """Write plain fields and metadata; returns the values before."""
    before: Json = {name: found[name] for name in names if name in form}
    found |= {name: form[name] or None for name in before}
    metadata = form.get("metadata")
    if isinstance(metadata, dict):
        before["metadata"] = dict(found["metadata"])
        merged = found["metadata"] | metadata
        found["metadata"] = {name: value for name, value in merged.items() if value != ""}
    return before


def _change_prices(found: Json, changes: list[dict[str, Any]]) -> None:
    lines = {one["id"]: one for one in found["items"]["data"]}
    for change in changes:
        old = lines.get(str(change.get("id")))
        made = objects.item(found["id"], change["price"], int(change.get("quantity", 1)))
        if change.get("id"):
            if old is None:
                raise missing("subscription item", change["id"])
            made |= {"id": old["id"], "created": old["created"]}
        lines[made["id"]] = made
    found["items"]["data"] = list(lines.values())


def _end_with_period(found: Json, ends: bool) -> None:
    period_end = max(one["current_period_end"] for one in found["items"]["data"])
    found["cancel_at_period_end"] = ends
    found["cancel_at"] = period_end if ends else None
    found["canceled_at"] = int(time.time()) if ends else None


def _pause(value: Any) -> Json | None:
    if not isinstance(value, dict):
        return None
    resumes_at = value.get("resumes_at")
    return {
        "behavior": value.get("behavior", "void"),
        "resumes_at": int(resumes_at) if resumes_at else None,
    }
