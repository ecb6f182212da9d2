"""`migrate url`: where the public host answers, for scripts."""

from __future__ import annotations

import sys

from migrate.context import get_context


def url() -> None:
    """Print the public address of the local stack, or PUBLIC_BASE_URL from the environment."""
    sys.stdout.write(get_context().require("PUBLIC_BASE_URL", "the public address") + "\n")
