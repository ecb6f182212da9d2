"""Where the servers of a stack come from: addresses in the environment win, private instances are the rule."""

from __future__ import annotations

from collections.abc import Mapping

from migrate.stack.programs import SERVER_KINDS, ServerKind


def given_urls(environment: Mapping[str, str]) -> dict[ServerKind, str]:
    """Addresses that the operator set: STACK_POSTGRES_URL (a superuser's), STACK_REDIS_URL, STACK_RABBITMQ_URL."""
    found = {kind: environment.get(f"STACK_{kind.upper()}_URL", "") for kind in SERVER_KINDS}
    return {kind: url for kind, url in found.items() if url}
