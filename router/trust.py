"""Whose forwarded headers are believed, and the client address that follows; pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustError(ValueError):
    """TRUSTED_PROXIES cannot be understood."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Where a request came from, and the header lines that say so to both sides.

    `lines` starts with CRLF, so it can be put behind any header line.
    """

    address: str
    scheme: str
    lines: bytes
    is_trusted: bool


class TrustedProxies:
    """Networks, or a number of hops, in front of the router whose X-Forwarded-* are believed."""

    def __init__(self, entries: tuple[str, ...] = ()) -> None:
        self._hops = 0
        self._networks: tuple[Network, ...] = ()
        if len(entries) == 1 and entries[0].isdigit():
            self._hops = int(entries[0])
        else:
            try:
                self._networks = tuple(ipaddress.ip_network(entry) for entry in entries)
            except ValueError as error:
                raise TrustError(
                    f"TRUSTED_PROXIES: {error}; give networks like 172.16.0.0/12 separated by"
                    " commas, or one number of hops"
                ) from error
        # The peers of one machine are few; the addresses behind them many, so this is bounded.
        self.resolve = lru_cache(maxsize=4096)(self._resolve)

    def _resolve(self, peer: str, chain: bytes | None, proto: bytes | None) -> Forwarded:
        """What to believe about a request from `peer` with these X-Forwarded-For and -Proto."""
        if not self.trusts(peer):
            return _forwarded((peer,), "http", is_trusted=False)
        hops = _addresses(chain)
        kept = self._believed(hops) if hops else ()
        scheme = "https" if proto is not None and proto.strip().lower() == b"https" else "http"
        return _forwarded((*kept, peer), scheme, is_trusted=True)

    def trusts(self, address: str) -> bool:
        """Whether the peer is one of our own proxies."""
        if self._hops:
            return True
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def _believed(self, hops: tuple[str, ...]) -> tuple[str, ...]:
        """From the client's address on: everything to its left was written by strangers."""
        if self._hops:
            return hops[-self._hops :]
        for index in range(len(hops) - 1, -1, -1):
            if not self.trusts(hops[index]):
                return hops[index:]
        return hops


def _forwarded(chain: tuple[str, ...], scheme: str, *, is_trusted: bool) -> Forwarded:
    text = (
        f"\r\nX-Real-IP: {chain[0]}"
        f"\r\nX-Forwarded-For: {', '.join(chain)}"
        f"\r\nX-Forwarded-Proto: {scheme}"
    )
    return Forwarded(chain[0], scheme, text.encode("latin-1"), is_trusted)


def _addresses(chain: bytes | None) -> tuple[str, ...]:
    """The valid addresses at the right end of the list; what is left of a broken one is dropped."""
    if not chain:
        return ()
    valid: list[str] = []
    for part in reversed(chain.decode("latin-1").split(",")):
        parsed = _parse(part.strip())
        if parsed is None:
            break
        valid.append(str(parsed))
    return tuple(reversed(valid))


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
