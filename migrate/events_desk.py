"""What the `migrate events` commands work with: broker, names, consumers and databases of this run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from migrate.context import Context
from shared.errors import OperatorError
from shared.events.catalogue import shipped_catalogue
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.topology import Names, Topology, consumer_topology, exchange_topology, merge
from shared.manifest import Manifest
from shared.placement.connection import Pool
from shared.placement.pools import PoolSettings, open_pool

#: The consumer of the old API; it hears whatever the services hear.
MONOLITH = "monolith"


class UnknownConsumerError(OperatorError):
    """No service of the manifest has that name."""

    exit_code = 7

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no consumer {name!r}; known are {', '.join(known)}")
        self.name = name


@dataclass(frozen=True)
class EventsDesk:
    """Broker and databases, opened for one command."""

    broker: RabbitBroker
    names: Names
    manifest: Manifest
    databases: Mapping[str, Pool]  # `shared`, and services with a database of their own

    @property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Event types by consumer."""
        found = {name: entry.subscribes for name, entry in self.manifest.services.items()}
        heard = sorted({type_ for types in found.values() for type_ in types})
        return {**found, MONOLITH: tuple(heard)}

    def pick(self, names: list[str] | None) -> tuple[str, ...]:
        """The named consumers, or all; raises UnknownConsumerError."""
        known = tuple(self.consumers)
        for name in names or ():
            if name not in known:
                raise UnknownConsumerError(name, known)
        return tuple(names) if names else known

    def topology(self, consumers: tuple[str, ...]) -> Topology:
        """What must exist for these consumers.

        Only a service knows exactly what it must not hear; the monolith's bindings are its own.
        """
        types = shipped_catalogue().types
        parts = [
            consumer_topology(
                self.names,
                name,
                self.consumers[name],
                known_types=() if name == MONOLITH else types,
            )
            for name in consumers
        ]
        return merge((exchange_topology(self.names), *parts))


@asynccontextmanager
async def open_desk(context: Context, *, databases: bool = False) -> AsyncIterator[EventsDesk]:
    """Open what a command needs; nothing connects before it is used."""
    manifest = context.manifest
    url = context.require("RABBITMQ_URL", "the message broker")
    broker = RabbitBroker(BrokerSettings(url, name="migrate", longest_pause_seconds=2.0))
    names = Names(manifest.project.name, context.setting("EVENTS_PREFIX") or "")
    pools: dict[str, Pool] = {}
    try:
        if databases:
            pools["shared"] = await _pool(context.shared_dsn)
            for service in manifest.moving_services():
                dsn = context.setting(f"DATABASE_URL_{service.name.upper()}")
                if dsn:
                    pools[service.name] = await _pool(dsn)
        yield EventsDesk(broker, names, manifest, pools)
    finally:
        await broker.close()
        for pool in pools.values():
            pool.terminate()


async def _pool(dsn: str) -> Pool:
    return await open_pool(dsn, "migrate/events", PoolSettings(max_size=2))
