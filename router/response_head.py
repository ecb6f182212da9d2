"""Reads one response head of an app and says how its body ends; pure, knows no sockets.

Lines pass in their order and spelling; only what concerns one connection is taken out, and what would
tell which app answered (api.md 1.2).
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_DIGITS = b"0123456789"
_DROP, _READ = 1, 2
#: What is done with a field: `_DROP` for what is of one connection only (RFC 9110 section 7.6.1) or tells
#: who answered, `_READ` for what the router looks at itself. Everything else just passes.
_ACTIONS = {
    **dict.fromkeys(
        (
            b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade",
            b"transfer-encoding", b"proxy-authenticate", b"proxy-authentication-info", b"server",
            b"x-powered-by", b"via", b"x-served-by",
        ),
        _DROP,
    ),
    **dict.fromkeys(
        (
            b"content-length", b"content-type", b"x-request-id", b"retry-after",
            b"sec-websocket-accept", b"x-content-type-options", b"x-frame-options",
            b"referrer-policy", b"strict-transport-security", b"x-ratelimit-limit",
        ),
        _READ,
    ),
}  # fmt: skip
_END_TO_END = frozenset(
    {
        b"content-length", b"content-type", b"content-encoding", b"set-cookie", b"date", b"etag",
        b"cache-control", b"location", b"vary", b"x-request-id", b"www-authenticate",
    }
)  # fmt: skip


class BadResponseError(ValueError):
    """The app's answer is not HTTP/1.1, or its end could be read in two ways."""


class _Grammar:
    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = False

    def on_headers_complete(self) -> None:
        self.is_complete = True


class ResponseHead:
    """One parsed head. `body_bytes` is -1 when the length is not given by the head.

    `fields` has only the fields that the router looks at itself, by lower-case name. `is_intact` says
    that nothing has to be taken out, so the raw bytes may pass as they came.
    """

    __slots__ = (
        "_kept", "body_bytes", "closes", "fields", "has_no_body", "is_chunked", "is_intact", "status",
    )  # fmt: skip

    def __init__(self, raw: bytes, method: str) -> None:
        """Parse a head that ends with its empty line, the answer to `method`. Raises BadResponseError."""
        _check_grammar(raw)
        self.status = _status(raw)
        rows = raw[:-4].split(b"\r\n")
        if raw.count(b"\n") != len(rows) + 1:
            raise BadResponseError("a line of the answer does not end with CRLF")
        fields: dict[bytes, bytes] = {}
        is_old = raw[:8] == b"HTTP/1.0"
        intact = not is_old
        kept = [b"HTTP/1.1" + rows[0][8:]] if is_old else [rows[0]]
        for index in range(1, len(rows)):
            row = rows[index]
            name, colon, value = row.partition(b":")
            low = name.lower()
            action = _ACTIONS.get(low)
            if action is None:
                if not colon or row[0] in b" \t":
                    raise BadResponseError("a line of the answer has no name")
                kept.append(row)
                continue
            value = value.strip(b" \t")
            known = fields.get(low)
            if known is None:
                fields[low] = value
            elif low != b"content-length":
                fields[low] = known + b", " + value
            elif value == known:
                intact = False
                continue
            else:
                raise BadResponseError("two different Content-Length fields")
            if action == _DROP:
                intact = False
            else:
                kept.append(row)
        self.fields = fields
        self.is_intact = intact
        self._kept = kept
        self._read_framing(method, is_old=is_old)

    def _read_framing(self, method: str, *, is_old: bool) -> None:
        fields = self.fields
        status = self.status
        coding = fields.get(b"transfer-encoding")
        length = fields.get(b"content-length")
        self.is_chunked = False
        self.body_bytes = -1
        self.has_no_body = method == "HEAD" or status == 304 or status == 204 or status < 200
        if coding is not None:
            if length is not None or is_old or coding.lower() != b"chunked":
                raise BadResponseError("the framing of the answer is ambiguous")
            self.is_chunked = not self.has_no_body
        elif length is not None:
            if not length or len(length) > 18 or length.translate(None, _DIGITS):
                raise BadResponseError("the Content-Length of the answer is not a number")
            self.body_bytes = int(length)
            if status < 200 or status == 204:
                # No Content-Length on 1xx and 204 (RFC 9110 section 8.6).
                self._drop(frozenset({b"content-length"}))
        if self.has_no_body:
            self.body_bytes = 0
        elif self.body_bytes == 0:
            self.has_no_body = True
        connection = fields.get(b"connection")
        if connection is None:
            self.closes = is_old
            return
        options = [option.strip() for option in connection.lower().split(b",")]
        self.closes = b"close" in options or (is_old and b"keep-alive" not in options)
        self._drop(frozenset(options) - _END_TO_END)

    def _drop(self, names: frozenset[bytes]) -> None:
        """Take out the lines of these fields."""
        if names:
            first, *rows = self._kept
            kept = [row for row in rows if row.partition(b":")[0].lower() not in names]
            self._kept = [first, *kept]
            self.is_intact = False

    @property
    def is_delimited_by_close(self) -> bool:
        return not self.has_no_body and not self.is_chunked and self.body_bytes < 0

    @property
    def idle_seconds(self) -> float:
        """How long the app says that it keeps the connection, infinity when it does not say."""
        announced = self.fields.get(b"keep-alive")
        if announced is not None:
            for part in announced.split(b","):
                key, _, value = part.strip().partition(b"=")
                if key.lower() == b"timeout" and value.isdigit():
                    return float(value)
        return float("inf")

    def lines(self, extra: bytes) -> bytes:
        """The head to forward: status line, field lines, `extra` (each line with a leading CRLF), end."""
        return b"\r\n".join(self._kept) + extra + b"\r\n\r\n"


def _check_grammar(raw: bytes) -> None:
    verdict = _Grammar()
    try:
        HttpResponseParser(verdict).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise BadResponseError("the answer is not HTTP/1.1") from error
    if not verdict.is_complete:
        raise BadResponseError("the answer is not HTTP/1.1")


def _status(raw: bytes) -> int:
    code = raw[9:12]
    if raw[:8] not in {b"HTTP/1.1", b"HTTP/1.0"} or not code.isdigit() or raw[8:9] != b" ":
        raise BadResponseError("the status line is not HTTP/1.1")
    status = int(code)
    if not 100 <= status <= 599:
        raise BadResponseError("the status is not between 100 and 599")
    return status
