"""The closed set of causes why the router answered by itself or cut an answer; a metric label."""

from __future__ import annotations

from enum import StrEnum

from shared.errors import Code


class Cause(StrEnum):
    """Why a request did not end with a whole answer of an app."""

    NONE = "none"
    BAD_REQUEST = "bad_request"
    BAD_PATH = "bad_path"
    BAD_METHOD = "bad_method"
    URL_TOO_LONG = "url_too_long"
    HEAD_TOO_LARGE = "head_too_large"
    HEAD_TIMEOUT = "head_timeout"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TIMEOUT = "body_timeout"
    BAD_BODY = "bad_body"
    TOO_MANY_CLIENTS = "too_many_clients"
    CLIENT_GONE = "client_gone"
    CLIENT_STALLED = "client_stalled"
    NO_ROUTE = "no_route"
    DRAINING = "draining"
    NO_CONTROL_STATE = "no_control_state"
    MAINTENANCE = "maintenance"
    READ_ONLY = "read_only"
    POLICY = "policy"
    RATE_LIMITED = "rate_limited"
    HOLD_FULL = "hold_full"
    HOLD_EXPIRED = "hold_expired"
    POOL_FULL = "pool_full"
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_GARBAGE = "upstream_garbage"
    UPSTREAM_TRUNCATED = "upstream_truncated"
    UPSTREAM_STALLED = "upstream_stalled"
    INTERNAL = "internal"


class Refusal(Exception):  # noqa: N818 - an answer, not a defect
    """A request that the router answers itself; carries everything that the answer shows.

    `status` overrides the status of the code where HTTP has a finer one (408, 414, 431).
    """

    def __init__(
        self,
        code: Code,
        message: str,
        cause: Cause,
        *,
        status: int = 0,
        details: dict[str, object] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cause = cause
        self.status = status
        self.details = details or {}
        self.headers = headers
        self.close = close


def malformed(reason: str, *, status: int = 400, cause: Cause = Cause.BAD_REQUEST) -> Refusal:
    """A request head that cannot be understood in one way only; the connection ends with it."""
    return Refusal(Code.MALFORMED_REQUEST, reason, cause, status=status, close=True)


def unavailable(message: str, cause: Cause, *, scope: str = "all", retry_after: int = 1) -> Refusal:
    """503 in the contract's shape; `retry_after` in seconds."""
    return Refusal(
        Code.UNAVAILABLE,
        message,
        cause,
        details={"scope": scope, "until": None, "retry_after": retry_after},
        headers=(("Retry-After", str(retry_after)),),
    )
