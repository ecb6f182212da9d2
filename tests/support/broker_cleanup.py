"""Removes what a worker process declared on the shared broker under a prefix of a test's own."""

from __future__ import annotations

import pika

from shared.events.topology import LADDER_SECONDS, Names


def remove_topology(rabbitmq_url: str, names: Names, consumer: str) -> None:
    """Queues and exchanges of one consumer; those that do not exist are no error."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    channel = connection.channel()
    waits = [names.wait(consumer, seconds) for seconds in LADDER_SECONDS]
    for queue in (names.queue(consumer), names.dead(consumer), names.unrouted, *waits):
        channel.queue_delete(queue)
    for exchange in (names.exchange, names.unrouted):
        channel.exchange_delete(exchange)
    connection.close()
