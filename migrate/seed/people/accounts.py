"""Accounts, profiles, referrals, subscriptions, payments and quotas of a circle; pure."""

from __future__ import annotations

import json
from datetime import timedelta

from migrate.seed.people.chance import Chance
from migrate.seed.people.circle import Circle, Person
from migrate.seed.people.rows import Rows

MONTH = timedelta(days=30)
#: By plan: price ids and monthly price in cents (contract, 3).
PRICES = {
    "stripe": {1: ("price_pro", 999), 2: ("price_max", 1999)},
    "revenuecat": {1: ("sx_pro_monthly", 999), 2: ("sx_max_monthly", 1999)},
}
#: Share of paying people by the state of their subscription.
STATUSES = ("active",) * 17 + ("past_due", "paused", "cancelled")
REFERRAL_BONUS = 5  # contract, 4: referral.confirmed


def add_accounts(circle: Circle, rows: Rows) -> None:
    """Everything that auth and payments own, besides quotas."""
    for person in circle.people:
        chance = circle.chance("account", person.number)
        _account(circle, person, chance, rows)
        if person.plan:
            _subscription(circle, person, chance, rows)
        _referral(circle, person, chance, rows)


def _account(circle: Circle, person: Person, chance: Chance, rows: Rows) -> None:
    at = person.created_at
    login = chance.moment(at, circle.until)
    rows["users"].append(
        (
            person.id,
            person.email,
            circle.password_hash,
            True,
            chance.code(),
            "complete" if chance.happens(0.9) else "in_progress",
            login,
            at,
            at,
        )
    )
    preferences = json.dumps({"theme": chance.choice(["dark", "light"])})
    year = chance.randint(1965, 2008) if chance.happens(0.7) else None
    rows["user_profiles"].append(
        (person.id, person.name, person.country, person.language, year, preferences, at, at)
    )
    if chance.happens(0.3):
        provider = chance.choice(["google", "apple", "facebook"])
        rows["auth_identities"].append((provider, f"ref-{person.id}", person.id, at))
    read_at = login if chance.happens(0.8) else None
    rows["notifications"].append(
        (
            chance.uuid(),
            person.id,
            "welcome",
            "Welcome",
            f"Good to have you here, {person.name.split()[0]}.",
            "{}",
            str(chance.uuid()),
            read_at,
            at,
            at,
        )
    )


def _subscription(circle: Circle, person: Person, chance: Chance, rows: Rows) -> None:
    provider = "stripe" if chance.happens(0.6) else "revenuecat"
    price_id, amount = PRICES[provider][person.plan]
    started = chance.moment(person.created_at, circle.until)
    status = chance.choice(STATUSES)
    rows["billing_customers"].append((provider, f"cus_ref_{person.id}", person.id, started))
    charged = started
    while charged < circle.until:
        reference = f"in_ref_{chance.uuid()}"
        rows["payment_transactions"].append(
            (
                chance.uuid(),
                person.id,
                provider,
                reference,
                "payment",
                amount,
                "usd",
                charged,
                charged,
            )
        )
        charged += MONTH
    rows["subscriptions"].append(
        (
            chance.uuid(),
            person.id,
            provider,
            f"sub_ref_{chance.uuid()}",
            price_id,
            person.plan,
            status,
            charged,
            charged if status == "paused" else None,
            False,
            1 if status == "active" else 2,
            started,
            started,
            started,
        )
    )


def _referral(circle: Circle, person: Person, chance: Chance, rows: Rows) -> None:
    """Some people were brought by somebody who was there before them."""
    earlier = [other for other in circle.people[:50] if other.created_at < person.created_at]
    if not earlier or not chance.happens(0.1):
        return
    referrer = chance.choice(earlier)
    at = person.created_at + timedelta(minutes=5)
    rows["referrals"].append(
        (chance.uuid(), referrer.id, person.id, "confirmed", person.created_at, at)
    )
    for user_id in (referrer.id, person.id):
        rows["quota_grants"].append(
            ("referral", str(person.id), user_id, "chat", REFERRAL_BONUS, at)
        )
