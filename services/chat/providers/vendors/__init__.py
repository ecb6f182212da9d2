"""Replies from real vendors: registry, clients, breaker, queue, fallback; they know no route and no table."""
