"""Edge policies of a route as the manifest states them; pure models, knows nothing of enforcement."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _is_network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


def _is_method(text: str) -> str:
    if not text.isalpha() or not text.isupper():
        raise ValueError(f"{text!r} is not a method in capital letters")
    return text


Network = Annotated[str, AfterValidator(_is_network)]
Method = Annotated[str, AfterValidator(_is_method)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RateLimit(_Model):
    """Requests per fixed window of 60 s, counted in Redis under `rl:<bucket>:<subject>:<window>`.

    The apps count their own buckets in the same Redis: give this one a name of its own.
    """

    bucket: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    requests: int = Field(ge=1, le=1_000_000)
    by: Literal["user", "address"] = "user"


class RoutePolicy(_Model):
    """What the router does for a route before either side sees the request. Everything is optional."""

    auth: Literal["none", "user", "service"] = "none"
    identity_headers: bool = False
    rate_limit: RateLimit | None = None
    allowed_networks: tuple[Network, ...] = ()
    allowed_methods: tuple[Method, ...] = ()
    security_headers: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rate_limit is not None and self.rate_limit.by == "user" and self.auth == "none":
            raise ValueError("a rate limit by user needs auth = user: an unchecked token can lie")
        if self.identity_headers and self.auth == "none":
            raise ValueError("identity_headers needs auth: there is nobody to speak of")
        return self

    @property
    def is_active(self) -> bool:
        """Whether the router has anything to do for the route before it passes a request on."""
        return self != RoutePolicy()
