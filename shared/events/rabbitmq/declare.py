"""Brings the broker's exchanges, queues and bindings to what is needed, or says what differs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pika.channel

from shared.events.errors import TopologyError
from shared.events.rabbitmq.link import ChannelRefusedError, Connection, call, open_channel
from shared.events.topology import Exchange, Queue, Topology

#: AMQP reply codes of a refused declaration.
ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED = 403, 404, 406

Request = Callable[[pika.channel.Channel], Awaitable[Any]]


async def declare(connection: Connection, topology: Topology, seconds: float) -> None:
    """Declare what is missing; raises TopologyError with one line for everything that differs.

    What is there with other arguments stays as it is: a queue cannot be changed, only replaced.
    """
    problems: list[str] = []
    channel: pika.channel.Channel | None = None
    for subject, way_out, request in _requests(topology, seconds):
        try:
            if channel is None or not channel.is_open:
                channel = await open_channel(connection, seconds)
            await request(channel)
        except ChannelRefusedError as error:
            channel = None
            problems.append(f"{subject}: {_explain(error)}{way_out}")
    if channel is not None and channel.is_open:
        channel.close()
    if problems:
        raise TopologyError(problems)


async def verify(connection: Connection, topology: Topology, seconds: float) -> tuple[str, ...]:
    """What is missing, one line each, without changing anything.

    Bindings and arguments cannot be read over AMQP; arguments are compared by `declare`.
    """
    wanted = [("exchange", exchange.name) for exchange in topology.exchanges]
    wanted += [("queue", queue.name) for queue in topology.queues]
    missing = [
        f"{kind} {name} is missing"
        for kind, name in wanted
        if not await exists(connection, f"{kind}_declare", name, seconds)
    ]
    return tuple(missing)


async def exists(connection: Connection, method: str, name: str, seconds: float) -> bool:
    """Whether an exchange or queue of that name exists, whatever its arguments."""
    channel = await open_channel(connection, seconds)
    try:
        await call(channel, method, seconds, name, passive=True)
    except ChannelRefusedError as error:
        if error.code == NOT_FOUND:
            return False
        raise
    channel.close()
    return True


def _requests(topology: Topology, seconds: float) -> list[tuple[str, str, Request]]:
    """(what it is about, way out when refused, request) in an order that works on an empty broker."""
    found: list[tuple[str, str, Request]] = [
        (f"exchange {exchange.name}", _replace(exchange), _declare_exchange(exchange, seconds))
        for exchange in topology.exchanges
    ]
    found += [
        (f"queue {queue.name}", _replace(queue), _declare_queue(queue, seconds))
        for queue in topology.queues
    ]
    for method, bindings in (("queue_bind", topology.bindings), ("queue_unbind", topology.unbound)):
        for binding in bindings:

            def bind(
                channel: pika.channel.Channel, method: str = method, binding: Any = binding
            ) -> Awaitable[Any]:
                return call(channel, method, seconds, binding.queue, binding.exchange, binding.key)

            found.append((f"binding {binding.queue} <- {binding.key}", "", bind))
    return found


def _declare_exchange(exchange: Exchange, seconds: float) -> Request:
    def request(channel: pika.channel.Channel) -> Awaitable[Any]:
        return call(
            channel,
            "exchange_declare",
            seconds,
            exchange.name,
            exchange_type=exchange.kind,
            durable=True,
            arguments=dict(exchange.arguments) or None,
        )

    return request


def _declare_queue(queue: Queue, seconds: float) -> Request:
    def request(channel: pika.channel.Channel) -> Awaitable[Any]:
        return call(
            channel,
            "queue_declare",
            seconds,
            queue.name,
            durable=True,
            arguments=dict(queue.arguments),
        )

    return request


def _replace(item: Exchange | Queue) -> str:
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(item.arguments.items()))
    kind = f"type={item.kind}, " if isinstance(item, Exchange) else ""
    return (
        f" (wanted: {kind}durable, {wanted or 'no arguments'}). Arguments cannot be changed:"
        " stop its workers, let it run empty or move its messages, delete it, and run"
        " `migrate events topology --apply`"
    )


def _explain(error: ChannelRefusedError) -> str:
    if error.code == PRECONDITION_FAILED:
        return f"exists with other settings ({error.text})"
    if error.code == ACCESS_REFUSED:
        return f"this user may not declare it ({error.text})"
    return f"{error.code} {error.text}"
