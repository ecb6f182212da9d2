"""One canonical form of a request path, used for matching and for forwarding alike; knows no routes.

Two readings of one path are how a request slips past a proxy's rules. So whatever two readers could
take differently (dot segments, empty segments, encoded separators) is refused, escapes of unreserved
characters are undone (RFC 3986 section 6.2.2.2), and everything else stays byte for byte.
"""

from __future__ import annotations

from typing import Final

_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PATH_BYTES: Final = _UNRESERVED + b"/!$&'()*+,;=:@"
#: RFC 3986 section 3.4, plus what browsers send raw in a query and no reader takes for a separator.
_QUERY_BYTES: Final = _PATH_BYTES + b'?%[]|^{}`"<>\\'
_HEX: Final = b"0123456789ABCDEFabcdef"
_UNRESERVED_SET: Final = frozenset(_UNRESERVED)

#: Longest request target (path and query) that is looked at, in bytes; nginx takes 8 KiB lines too.
MAX_TARGET_BYTES: Final = 8 * 1024


class PathRefusedError(ValueError):
    """The path has no single meaning; `status` is the answer for it and `reason` says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def canonical_path(raw: bytes) -> str:
    """The one string that a raw path is matched and forwarded as.

    Raises PathRefusedError: 404 for empty segments, 400 for everything else that is ambiguous.
    """
    if not raw.translate(None, _PATH_BYTES) and b"//" not in raw and b"/." not in raw:
        if raw[:1] != b"/":
            raise PathRefusedError(400, "the path does not begin with a slash")
        if b";" not in raw:
            return raw.decode("ascii")
    return _canonical_slowly(raw)


def query_is_clean(raw: bytes) -> bool:
    """Whether a raw query has only bytes that may stand in a request line."""
    return not raw.translate(None, _QUERY_BYTES)


def _canonical_slowly(raw: bytes) -> str:
    if raw[:1] != b"/":
        raise PathRefusedError(400, "the path does not begin with a slash")
    decoded = _undo_unreserved(raw)
    if "//" in decoded:
        raise PathRefusedError(404, "the path has an empty segment")
    for segment in decoded.split("/"):
        # `..;x` and `..%3Bx` are dot segments to servers that cut path parameters off (CVE-2026-73551).
        bare = segment.partition(";")[0].partition("%3B")[0]
        if bare in {".", ".."}:
            raise PathRefusedError(400, "the path has a dot segment")
    return decoded


def _undo_unreserved(raw: bytes) -> str:
    out = bytearray()
    index, size = 0, len(raw)
    while index < size:
        byte = raw[index]
        if byte != 0x25:
            if byte not in _PATH_BYTES:
                raise PathRefusedError(400, "the path has a character that must be percent-encoded")
            out.append(byte)
            index += 1
            continue
        digits = raw[index + 1 : index + 3]
        if len(digits) != 2 or digits[0] not in _HEX or digits[1] not in _HEX:
            raise PathRefusedError(400, "the path has a broken percent escape")
        value = int(digits, 16)
        if value in {0x2F, 0x5C}:
            raise PathRefusedError(400, "the path has an encoded separator")
        if value < 0x20 or value == 0x7F:
            raise PathRefusedError(400, "the path has an encoded control character")
        if value in _UNRESERVED_SET:
            out.append(value)
        else:
            out += b"%" + digits.upper()
        index += 3
    return out.decode("ascii")
