"""Maintenance and read-only modes of a route (contract, 1.15); pure."""

from __future__ import annotations

from typing import Final

from router.failure import Cause, Refusal
from shared.control.model import Flag
from shared.errors import Code
from shared.routing.routes import READING_KINDS, RouteSpec

#: When a client should come again, in seconds.
RETRY_AFTER_SECONDS: Final = 30


#: Routes about the product as a whole (contract, 2.8).
_EXEMPT: Final = "system."


def check_mode(flag: Flag, spec: RouteSpec, method: str) -> None:
    """Raises Refusal when the mode of the route does not let the request pass.

    Preflights, webhooks and the product's own status are exempt: a webhook is stored and answered in
    every mode.
    """
    if spec.kind == "webhook" or method == "OPTIONS" or spec.name.startswith(_EXEMPT):
        return
    if flag.mode == "maintenance":
        code, cause, message = Code.MAINTENANCE, Cause.MAINTENANCE, "Under maintenance"
    elif flag.mode == "read_only" and spec.kind not in READING_KINDS:
        code, cause, message = Code.READ_ONLY, Cause.READ_ONLY, "Only reading is possible now"
    else:
        return
    raise Refusal(
        code,
        message,
        cause,
        details={"scope": spec.service, "until": None, "retry_after": RETRY_AFTER_SECONDS},
        headers=(("Retry-After", str(RETRY_AFTER_SECONDS)),),
    )
