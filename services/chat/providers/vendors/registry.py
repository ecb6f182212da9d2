"""Which deployments stand behind a public model name, in order of preference; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Vendor = Literal["anthropic", "openai", "groq", "deepseek", "gemini"]
VENDORS: tuple[Vendor, ...] = get_args(Vendor)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model of a vendor under the vendor's own name for it."""

    vendor: Vendor
    model: str

    def __str__(self) -> str:
        return f"{self.vendor}:{self.model}"


Chain = tuple[Deployment, ...]


def parse_chain(text: str) -> Chain:
    """`anthropic:claude-haiku-4-5, openai:gpt-4o-mini`: the later ones stand in for the earlier.

    Raises ValueError.
    """
    chain = tuple(_parse(part.strip()) for part in text.split(",") if part.strip())
    if not chain:
        raise ValueError("names no model; write <vendor>:<model>[,<vendor>:<model>…]")
    return chain


def _parse(text: str) -> Deployment:
    name, _, model = text.partition(":")
    for vendor in VENDORS:
        if vendor == name and model:
            return Deployment(vendor, model)
    raise ValueError(f"{text!r} is not <vendor>:<model> with a vendor of {', '.join(VENDORS)}")


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """Chains by public name, without the vendors that have no key."""

    chains: Mapping[str, Chain]
    available: Collection[str]

    def candidates(self, name: str) -> Chain:
        """Deployments to try, in order; empty when no vendor of the chain has a key."""
        return tuple(one for one in self.chains[name] if one.vendor in self.available)
