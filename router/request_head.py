"""Reads one request head: strictly, once, into what routing and forwarding need; pure, knows no sockets.

llhttp checks the grammar; on top of it everything is refused that two readers could take differently
(RFC 9112 sections 2.2, 3.2, 5, 6.1 and 6.3).
"""

from __future__ import annotations

import re
from functools import lru_cache

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from router.failure import Cause, Refusal, malformed
from shared.errors import Code
from shared.routing.paths import PathRefusedError, canonical_path, query_is_clean

_METHODS = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_DIGITS = b"0123456789"

#: Fields that concern one connection only (RFC 9110 section 7.6.1), or that the router writes itself.
_DROPPED = frozenset(
    {
        b"host", b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"content-length", b"upgrade", b"http2-settings", b"expect",
        b"proxy-authorization", b"proxy-authenticate", b"cookie", b"traceparent",
        b"x-request-id", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto", b"x-shadow",
        b"x-strangler-override", b"x-edge-identity", b"forwarded",
    }
)  # fmt: skip
#: Only a trusted proxy may send these on.
_FORWARDED_PREFIX = b"x-forwarded-"
#: Fields that a `Connection` line can never take away: they are meant for the app (Apache CVE-2022-31813).
_END_TO_END = frozenset(
    {
        b"authorization", b"content-type", b"content-encoding", b"accept", b"origin", b"referer",
        b"user-agent", b"idempotency-key", b"if-none-match", b"if-match", b"range",
        b"stripe-signature", b"webhook-id", b"webhook-timestamp", b"webhook-signature",
        b"svix-id", b"svix-timestamp", b"svix-signature", b"tracestate", b"x-client-version",
        b"access-control-request-method", b"access-control-request-headers",
    }
)  # fmt: skip
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization"})


class RequestHead:
    """One parsed head; not changed after it was read.

    `fields` has lower-case names and the first value of each (cookies and lists are joined);
    `lines` are the field lines to forward, each with its leading CRLF, in the client's spelling.
    `content_length` is -1 without the field. `path` is canonical, `query` raw with its `?`.
    """

    __slots__ = (
        "address", "content_length", "expects_continue", "fields", "host", "host_name",
        "is_chunked", "is_http_1_0", "keeps_alive", "lines", "method", "path", "query", "upgrade",
    )  # fmt: skip

    method: str
    path: str
    query: bytes
    host: bytes
    host_name: str
    fields: dict[bytes, bytes]
    lines: list[bytes]
    content_length: int
    is_chunked: bool
    is_http_1_0: bool
    keeps_alive: bool
    expects_continue: bool
    upgrade: bool
    address: str

    def header(self, name: bytes) -> bytes | None:
        """A field by lower-case name."""
        return self.fields.get(name)

    @property
    def has_body(self) -> bool:
        return self.is_chunked or self.content_length > 0


class _Grammar:
    """llhttp's verdict over one head."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = False

    def on_headers_complete(self) -> None:
        self.is_complete = True


def read_request_head(raw: bytes, *, is_trusted: bool) -> RequestHead:
    """Parse a head that ends with its empty line. Raises Refusal.

    `is_trusted`: the peer is one of our own proxies, whose other X-Forwarded-* may pass.
    """
    _check_grammar(raw)
    rows = raw[:-4].split(b"\r\n")
    if raw.count(b"\n") != len(rows) + 1 or raw.count(b"\r") != len(rows) + 1:
        raise malformed("a line of the request head does not end with CRLF")
    head = RequestHead()
    target = _read_request_line(head, rows[0])
    _read_fields(head, rows, is_trusted)
    _read_host(head, target)
    _read_connection(head)
    _read_framing(head)
    return head


def _check_grammar(raw: bytes) -> None:
    verdict = _Grammar()
    try:
        HttpRequestParser(verdict).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        if raw.startswith((b"CONNECT ", b"TRACE ")):
            raise _wrong_method() from error
        raise malformed("the request head is not HTTP/1.1") from error
    if not verdict.is_complete:
        raise malformed("the request head is not HTTP/1.1")


def _read_request_line(head: RequestHead, row: bytes) -> bytes:
    """Set method, version, path and query; the authority of an absolute-form target, or b""."""
    parts = row.split(b" ")
    if len(parts) != 3 or parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise malformed("the request line is not METHOD TARGET HTTP/1.1")
    method, target, version = parts
    known = _METHODS.get(method)
    if known is None:
        raise _wrong_method()
    head.method = known
    head.is_http_1_0 = version == b"HTTP/1.0"
    authority = b""
    if target[:1] != b"/":
        if target == b"*" and known == "OPTIONS":
            head.path, head.query = "*", b""
            return authority
        authority, target = _absolute_form(target)
    raw_path, mark, query = target.partition(b"?")
    try:
        head.path = canonical_path(raw_path)
    except PathRefusedError as error:
        if error.status == 404:
            raise Refusal(Code.NOT_FOUND, "No such path", Cause.BAD_PATH) from error
        raise Refusal(Code.MALFORMED_REQUEST, error.reason, Cause.BAD_PATH) from error
    if mark and not query_is_clean(query):
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "the query has a character that must be percent-encoded",
            Cause.BAD_PATH,
        )
    head.query = mark + query
    return authority


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


def _read_fields(head: RequestHead, rows: list[bytes], is_trusted: bool) -> None:
    fields: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    for index in range(1, len(rows)):
        row = rows[index]
        name, colon, value = row.partition(b":")
        if not colon or not name or row[0] in b" \t":
            raise malformed("a header line has no name")
        low = name.lower()
        value = value.strip(b" \t")
        if low in fields:
            if low in _SINGLE:
                raise malformed(f"more than one {low.decode('latin-1')} field")
            fields[low] += (b"; " if low == b"cookie" else b", ") + value
        else:
            fields[low] = value
        # Names with `_` look like names with `-` to CGI-style apps: nginx drops them too.
        if low not in _DROPPED and b"_" not in low:
            if low.startswith(_FORWARDED_PREFIX) and not is_trusted:
                continue
            lines.append(b"\r\n" + row)
    head.fields = fields
    head.lines = lines


def _read_host(head: RequestHead, authority: bytes) -> None:
    host = head.fields.get(b"host")
    if host is None and not head.is_http_1_0:
        raise malformed("the Host field is missing")
    if authority:
        # The authority of the target wins and Host is rebuilt from it (RFC 9112 section 3.2.2).
        host = authority
    if host is None:
        host = b""
        head.host_name = ""
    else:
        head.host_name = _host_name(host)
    head.host = host


@lru_cache(maxsize=1024)
def _host_name(host: bytes) -> str:
    if _HOST.fullmatch(host) is None:
        raise malformed("the Host field is not a host name")
    name = host.decode("ascii").lower()
    return name[: name.index("]") + 1] if name[0] == "[" else name.partition(":")[0]


def _read_connection(head: RequestHead) -> None:
    fields = head.fields
    value = fields.get(b"connection")
    head.upgrade = False
    if value is None:
        head.keeps_alive = not head.is_http_1_0
        head.expects_continue = b"expect" in fields and _expects_continue(head)
        return
    options = [option.strip() for option in value.lower().split(b",")]
    if head.is_http_1_0:
        head.keeps_alive = b"keep-alive" in options and b"close" not in options
    else:
        head.keeps_alive = b"close" not in options
    if b"upgrade" in options and head.method == "GET" and not head.is_http_1_0:
        head.upgrade = fields.get(b"upgrade", b"").lower() == b"websocket"
    nominated = [
        option
        for option in options
        if option in fields and option not in _DROPPED and option not in _END_TO_END
        and not option.startswith(_FORWARDED_PREFIX)
    ]  # fmt: skip
    for name in nominated:
        prefix = b"\r\n" + name + b":"
        head.lines = [line for line in head.lines if not line.lower().startswith(prefix)]
    head.expects_continue = b"expect" in fields and _expects_continue(head)


def _expects_continue(head: RequestHead) -> bool:
    return not head.is_http_1_0 and head.fields[b"expect"].lower() == b"100-continue"


def _read_framing(head: RequestHead) -> None:
    fields = head.fields
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    head.is_chunked = False
    head.content_length = -1
    if coding is not None:
        if length is not None:
            raise malformed("both Content-Length and Transfer-Encoding are given")
        if head.is_http_1_0 or coding.lower() != b"chunked":
            raise malformed("the only transfer coding is chunked")
        head.is_chunked = True
    elif length is not None:
        if not length or len(length) > 18 or length.translate(None, _DIGITS):
            raise malformed("the Content-Length is not a number")
        head.content_length = int(length)
    if head.upgrade and head.has_body:
        raise malformed("an upgrade request has no body")


def _wrong_method() -> Refusal:
    return Refusal(
        Code.METHOD_NOT_ALLOWED,
        "This method is not served",
        Cause.BAD_METHOD,
        headers=(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
        close=True,
    )
