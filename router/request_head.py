"""Reads one request head: strictly, once; pure, knows no sockets.

The request line is read here, the field lines by `header_block`.
"""

from __future__ import annotations

from typing import Final

from router.failure import Cause, Refusal, malformed
from router.header_block import HeaderBlock, HeaderBlocks, host_name
from shared.errors import Code
from shared.routing.paths import PathRefusedError, query_is_clean

_METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
_VISIBLE: Final = bytes(range(0x21, 0x7F))
_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-"


class RequestHead:
    """One parsed head. `path` is canonical, `query` raw with its `?`, `address` the client's.

    `refusal` is the answer to a target that has no single meaning; the rest of the head is good then.
    """

    __slots__ = (
        "address", "block", "content_length", "expects_continue", "fields", "has_body", "host",
        "host_name", "is_chunked", "is_http_1_0", "keeps_alive", "method", "path", "query",
        "refusal", "upgrade",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        block: HeaderBlock,
        *,
        is_http_1_0: bool,
        authority: bytes,
        address: str,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.block = block
        self.address = address
        self.refusal: Refusal | None = None
        self.fields = block.fields
        self.is_chunked = block.is_chunked
        self.content_length = block.content_length
        self.has_body = block.is_chunked or block.content_length > 0
        self.is_http_1_0 = is_http_1_0
        self.host = block.host
        self.host_name = block.host_name
        if authority:
            # The authority of the target wins and Host is rebuilt from it (RFC 9112 section 3.2.2).
            self.host = authority
            self.host_name = host_name(authority)
        if is_http_1_0:
            self._read_old_version(block)
            return
        if block.host is None:
            raise malformed("the Host field is missing")
        self.keeps_alive = b"close" not in block.options
        self.expects_continue = block.expects_continue
        self.upgrade = block.wants_websocket and method == "GET"
        if self.upgrade and self.has_body:
            raise malformed("an upgrade request has no body")

    def _read_old_version(self, block: HeaderBlock) -> None:
        if block.is_chunked:
            raise malformed("HTTP/1.0 has no transfer codings")
        options = block.options
        self.keeps_alive = b"keep-alive" in options and b"close" not in options
        self.expects_continue = False
        self.upgrade = False

    def header(self, name: bytes) -> bytes | None:
        """A field by lower-case name."""
        return self.fields.get(name)


def read_request_head(raw: bytes, line_end: int, blocks: HeaderBlocks, address: str) -> RequestHead:
    """Parse a head that ends with its empty line; the request line ends at `line_end`. Raises Refusal."""
    parts = raw[:line_end].split(b" ")
    if len(parts) != 3:
        raise malformed("the request line is not METHOD TARGET HTTP/1.1")
    method, target, version = parts
    if version != b"HTTP/1.1" and version != b"HTTP/1.0":
        raise malformed("the request line is not METHOD TARGET HTTP/1.1")
    known = _METHODS.get(method)
    if known is None:
        raise _wrong_method(method)
    authority = b""
    if target[:1] != b"/":
        if target == b"*" and known == "OPTIONS":
            return _head(known, "*", b"", raw, line_end, blocks, version, authority, address)
        authority, target = _absolute_form(target)
    raw_path, mark, query = target.partition(b"?")
    refusal: Refusal | None = None
    path = "/"
    try:
        path = blocks.path(raw_path)
        if mark and not query_is_clean(query):
            refusal = _bad_target(400, "the query has a character that must be percent-encoded")
    except PathRefusedError as error:
        refusal = _bad_target(error.status, error.reason)
    if refusal is not None and target.translate(None, _VISIBLE):
        refusal.close = True  # such bytes stand in no request line: nothing behind them is believed
    query = mark + query if mark else b""
    head = _head(known, path, query, raw, line_end, blocks, version, authority, address)
    head.refusal = refusal
    return head


def _bad_target(status: int, reason: str) -> Refusal:
    if status == 404:
        return Refusal(Code.NOT_FOUND, "No such path", Cause.BAD_PATH)
    return Refusal(Code.MALFORMED_REQUEST, reason, Cause.BAD_PATH)


def _head(
    method: str,
    path: str,
    query: bytes,
    raw: bytes,
    line_end: int,
    blocks: HeaderBlocks,
    version: bytes,
    authority: bytes,
    address: str,
) -> RequestHead:
    return RequestHead(
        method,
        path,
        query,
        blocks.read(raw, line_end),
        is_http_1_0=version == b"HTTP/1.0",
        authority=authority,
        address=address,
    )


def _absolute_form(target: bytes) -> tuple[bytes, bytes]:
    """Authority and origin-form of `http://host/path` (RFC 9112 section 3.2.2)."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in {b"http", b"https"}:
        raise malformed("the request target is neither a path nor an http address")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise malformed("the request target names no host")
    return authority, path if path[:1] == b"/" else b"/" + path


def _wrong_method(method: bytes) -> Refusal:
    if not method or method.translate(None, _UPPER):
        return malformed("the request line is not METHOD TARGET HTTP/1.1")
    return Refusal(
        Code.METHOD_NOT_ALLOWED,
        "This method is not served",
        Cause.BAD_METHOD,
        headers=(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
        close=True,
    )
