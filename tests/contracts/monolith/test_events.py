"""What the old API publishes and hears is what the catalogue and the manifest say."""

from __future__ import annotations

import re
from pathlib import Path

import monolith
from monolith.domains import DOMAINS
from monolith.events.topology import Names, queues
from shared.events import topology
from shared.events.catalogue import shipped_catalogue
from shared.manifest import load_manifest

TYPE = re.compile(r'"([a-z]+\.[a-z_]+)"')
SUBSCRIPTION = {
    f"subscription.{word}"
    for word in ("created", "upgraded", "downgraded", "renewed", "cancelled", "paused", "resumed")
}
COUNTED = {"subscription.created", "subscription.cancelled"}
# Events that a domain subscribes to only to drop caches that the old API does not keep, or that
# change none of its figures.
WITHOUT_EFFECT = {
    "chat": SUBSCRIPTION | {"quota.updated"},
    "media": SUBSCRIPTION | {"quota.updated"},
    "community": {"quota.updated", "user.updated"},
    "analytics": SUBSCRIPTION - COUNTED | {"payment.failed"},
}


def test_every_domain_hears_what_the_contract_gives_it() -> None:
    services = load_manifest().services
    for domain in DOMAINS:
        wanted = set(services[domain.name].subscribes)
        heard = set(domain.handlers)
        assert heard <= wanted, domain.name
        assert wanted - heard == WITHOUT_EFFECT.get(domain.name, set()) & wanted, domain.name


def test_no_other_event_type_is_written_in_the_code() -> None:
    known = set(shipped_catalogue().types)
    folder = Path(monolith.__file__).parent
    for name in ("auth", "chat", "payments", "media", "community", "analytics"):
        for path in (folder / name).rglob("*.py"):
            lines = re.findall(r'(?:emit|_announce)\([^)]*?"[^)]*\)', path.read_text("utf-8"))
            for kind in TYPE.findall(" ".join(lines)):
                assert kind in known, f"{path.name}: {kind}"


def test_exchange_and_queues_are_those_of_the_toolkit() -> None:
    theirs = topology.Names("scenextras")
    ours = Names(theirs.exchange, theirs.queue("monolith"))
    assert ours.unrouted == theirs.unrouted
    wanted = {
        queue.name: dict(queue.arguments)
        for queue in topology.consumer_topology(theirs, "monolith", ()).queues
    }
    assert {name: dict(arguments) for name, arguments in queues(ours).items()} == wanted
