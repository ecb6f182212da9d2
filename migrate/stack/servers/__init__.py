"""Private PostgreSQL, Redis and RabbitMQ for the local stack and the tests, never the machine's own."""

from migrate.stack.servers.private import PrivateServers, ServerUrls

__all__ = ["PrivateServers", "ServerUrls"]
