"""The events' broker on RabbitMQ (3.10 to 4.x) by pika's AsyncioConnection; knows no event."""

from shared.events.rabbitmq.broker import RabbitBroker
from shared.events.rabbitmq.link import BrokerSettings

__all__ = ["BrokerSettings", "RabbitBroker"]
