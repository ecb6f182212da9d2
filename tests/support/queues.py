"""Takes away what a worker has declared on the broker that all tests share."""

from __future__ import annotations

from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import call, open_channel
from shared.events.topology import LADDER_SECONDS, Names

CALL_SECONDS = 5


async def remove_queues(url: str, names: Names, service: str) -> None:
    waits = [names.wait(service, seconds) for seconds in LADDER_SECONDS]
    queues = [names.queue(service), names.dead(service), names.unrouted, *waits]
    broker = RabbitBroker(BrokerSettings(url, name="cleanup"))
    async with broker.connection() as connection:
        channel = await open_channel(connection, CALL_SECONDS)
        for queue in queues:
            await call(channel, "queue_delete", CALL_SECONDS, queue)
        for exchange in (names.exchange, names.unrouted):
            await call(channel, "exchange_delete", CALL_SECONDS, exchange)
    await broker.close()
