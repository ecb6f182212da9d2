"""Reads one response head of an app and says how its body ends; pure, knows no sockets.

Lines pass in their order and spelling; only what concerns one connection is taken out, and what would
tell which app answered (api.md 1.2).
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_DIGITS = b"0123456789"
#: Of one connection only (RFC 9110 section 7.6.1), or telling who answered.
_DROPPED = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade",
        b"transfer-encoding", b"proxy-authenticate", b"proxy-authentication-info", b"server",
        b"x-powered-by", b"via", b"x-served-by",
    }
)  # fmt: skip
_END_TO_END = frozenset(
    {
        b"content-length", b"content-type", b"content-encoding", b"set-cookie", b"date", b"etag",
        b"cache-control", b"location", b"vary", b"x-request-id", b"www-authenticate",
    }
)  # fmt: skip


class BadResponseError(ValueError):
    """The app's answer is not HTTP/1.1, or its end could be read in two ways."""


class ResponseHead:
    """One parsed head. `body_bytes` is -1 when the length is not given by the head.

    `lines` are the status line and the field lines to forward, each but the first with its leading
    CRLF. `is_intact` says that nothing was taken out, so the raw bytes may pass as they came.
    """

    __slots__ = (
        "body_bytes", "closes", "content_length", "fields", "has_no_body", "idle_seconds",
        "is_chunked", "is_intact", "lines", "status",
    )  # fmt: skip

    status: int
    lines: list[bytes]
    fields: dict[bytes, bytes]
    is_intact: bool
    is_chunked: bool
    content_length: int
    body_bytes: int
    has_no_body: bool
    closes: bool
    idle_seconds: float

    @property
    def is_informational(self) -> bool:
        return self.status < 200

    @property
    def is_delimited_by_close(self) -> bool:
        return not self.has_no_body and not self.is_chunked and self.body_bytes < 0


class _Grammar:
    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = False

    def on_headers_complete(self) -> None:
        self.is_complete = True


def read_response_head(raw: bytes, method: str) -> ResponseHead:
    """Parse a head that ends with its empty line, the answer to `method`. Raises BadResponseError."""
    verdict = _Grammar()
    try:
        HttpResponseParser(verdict).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise BadResponseError("the answer is not HTTP/1.1") from error
    rows = raw[:-4].split(b"\r\n")
    if not verdict.is_complete or raw.count(b"\n") != len(rows) + 1:
        raise BadResponseError("the answer is not HTTP/1.1")
    head = ResponseHead()
    head.status = _status(rows[0])
    _read_fields(head, rows)
    _read_framing(head, method, is_http_1_0=rows[0].startswith(b"HTTP/1.0"))
    return head


def _status(row: bytes) -> int:
    code = row[9:12]
    if not row.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or code.translate(None, _DIGITS):
        raise BadResponseError("the status line is not HTTP/1.1")
    status = int(code)
    if not 100 <= status <= 599:
        raise BadResponseError("the status is not between 100 and 599")
    return status


def _read_fields(head: ResponseHead, rows: list[bytes]) -> None:
    fields: dict[bytes, bytes] = {}
    status_line = rows[0]
    head.is_intact = status_line.startswith(b"HTTP/1.1")
    lines = [status_line if head.is_intact else b"HTTP/1.1" + status_line[8:]]
    for index in range(1, len(rows)):
        row = rows[index]
        name, colon, value = row.partition(b":")
        if not colon or not name or row[0] in b" \t":
            raise BadResponseError("a header line has no name")
        low = name.lower()
        value = value.strip(b" \t")
        if low not in fields:
            fields[low] = value
        elif low == b"content-length":
            if value != fields[low]:
                raise BadResponseError("two different Content-Length fields")
            head.is_intact = False
            continue
        else:
            fields[low] += b", " + value
        if low in _DROPPED:
            head.is_intact = False
        else:
            lines.append(b"\r\n" + row)
    head.lines = lines
    head.fields = fields
    connection = fields.get(b"connection")
    if connection is not None:
        _drop_nominated(head, connection)


def _drop_nominated(head: ResponseHead, connection: bytes) -> None:
    for option in connection.lower().split(b","):
        name = option.strip()
        if name in head.fields and name not in _DROPPED and name not in _END_TO_END:
            prefix = b"\r\n" + name + b":"
            head.lines = [line for line in head.lines if not line.lower().startswith(prefix)]


def _read_framing(head: ResponseHead, method: str, *, is_http_1_0: bool) -> None:
    fields = head.fields
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    head.is_chunked = False
    head.content_length = -1
    head.body_bytes = -1
    head.has_no_body = method == "HEAD" or head.status in {204, 304} or head.status < 200
    if coding is not None:
        if length is not None or is_http_1_0 or coding.lower() != b"chunked":
            raise BadResponseError("the framing of the answer is ambiguous")
        head.is_chunked = not head.has_no_body
    elif length is not None:
        if not length or len(length) > 18 or length.translate(None, _DIGITS):
            raise BadResponseError("the Content-Length of the answer is not a number")
        head.content_length = int(length)
        head.body_bytes = 0 if head.has_no_body else head.content_length
    if head.has_no_body:
        head.body_bytes = 0
        if length is not None and (head.status == 204 or head.status < 200):
            # No Content-Length on 1xx and 204 (RFC 9110 section 8.6).
            head.lines = [row for row in head.lines if row[:17].lower() != b"\r\ncontent-length:"]
            head.is_intact = False
    elif head.body_bytes == 0 and length is not None:
        head.has_no_body = True
    head.closes, head.idle_seconds = _reuse(fields, is_http_1_0)


def _reuse(fields: dict[bytes, bytes], is_http_1_0: bool) -> tuple[bool, float]:
    """Whether the connection ends after this answer, and the idle limit that the app announces."""
    connection = fields.get(b"connection")
    options = connection.lower() if connection is not None else b""
    closes = b"close" in options or (is_http_1_0 and b"keep-alive" not in options)
    idle = float("inf")
    announced = fields.get(b"keep-alive")
    if announced is not None:
        for part in announced.split(b","):
            key, _, value = part.strip().partition(b"=")
            if key.lower() == b"timeout" and value.isdigit():
                idle = float(value)
    return closes, idle
