"""Deliveries that must wait: a half-done effect is undone, and the delivery is tried again later."""

from __future__ import annotations

from shared.placement.connection import Connection
from shared.webhooks.processor import Effect, Handler, Verdict
from shared.webhooks.providers import Delivery


class DeferredError(Exception):
    """The user or customer that a delivery is about is not known yet."""


def deferring(handler: Handler) -> Handler:
    """`handler`, whose DeferredError undoes what it did and leaves the delivery for later."""

    async def apply(connection: Connection, delivery: Delivery) -> Effect:
        try:
            async with connection.transaction():
                return await handler(connection, delivery)
        except DeferredError as error:
            return Effect(Verdict.DEFERRED, note=str(error))

    return apply
