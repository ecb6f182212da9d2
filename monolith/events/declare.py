"""Brings exchange, queues and bindings into being on the broker; repeating changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.events.link import Link, LinkLostError, open_link
from monolith.events.topology import NO_LIMIT, Names, queues


async def declare(url: str, names: Names, types: Sequence[str]) -> None:
    """Everything that relay and consumer need."""
    if not await _exchange_exists(url, names.exchange):
        await _declare_exchange(url, names)
    link = await open_link(url, "monolith/declare")
    try:
        for queue, arguments in queues(names).items():
            await link.ask(
                link.channel.queue_declare, queue=queue, durable=True, arguments=dict(arguments)
            )
        for key in types:
            await link.ask(
                link.channel.queue_bind,
                queue=names.queue,
                exchange=names.exchange,
                routing_key=key,
            )
    finally:
        await link.close()


async def _exchange_exists(url: str, exchange: str) -> bool:
    """A passive look on a channel of its own, because a miss closes the channel."""
    link = await open_link(url, "monolith/declare")
    try:
        await link.ask(link.channel.exchange_declare, exchange=exchange, passive=True)
    except LinkLostError:
        return False
    finally:
        await link.close()
    return True


async def _declare_exchange(url: str, names: Names) -> None:
    link = await open_link(url, "monolith/declare")
    try:
        await _declare_unrouted(link, names)
        await link.ask(
            link.channel.exchange_declare,
            exchange=names.exchange,
            exchange_type="topic",
            durable=True,
            arguments={"alternate-exchange": names.unrouted},
        )
    finally:
        await link.close()


async def _declare_unrouted(link: Link, names: Names) -> None:
    """The net below the exchange: what nobody is bound for is kept, not lost."""
    channel = link.channel
    await link.ask(
        channel.exchange_declare, exchange=names.unrouted, exchange_type="fanout", durable=True
    )
    await link.ask(
        channel.queue_declare,
        queue=names.unrouted,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-delivery-limit": NO_LIMIT},
    )
    await link.ask(
        channel.queue_bind, queue=names.unrouted, exchange=names.unrouted, routing_key="#"
    )
