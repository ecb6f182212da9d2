"""Reads one response head of an app and says how its body ends; pure, knows no sockets.

Lines pass in their order and spelling; only what concerns one connection is taken out, and what would
tell which app answered (api.md 1.2).
"""

from __future__ import annotations

import re

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
#: Fields that the router looks at itself.
_READ = (
    b"content-length", b"content-type", b"x-request-id", b"retry-after", b"sec-websocket-accept",
    b"x-content-type-options", b"x-frame-options", b"referrer-policy", b"strict-transport-security",
    b"x-ratelimit-limit",
)  # fmt: skip
_LOOKED_FOR = re.compile(
    rb"\r\n(" + b"|".join((*sorted(_DROPPED), *_READ)) + rb"):[ \t]*([^\r\n]*)", re.IGNORECASE
)
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
        "_raw", "body_bytes", "closes", "fields", "has_no_body", "is_chunked", "is_intact", "status",
    )  # fmt: skip

    def __init__(self, raw: bytes, method: str) -> None:
        """Parse a head that ends with its empty line, the answer to `method`. Raises BadResponseError."""
        _check_grammar(raw)
        self._raw = raw
        self.status = _status(raw)
        fields: dict[bytes, bytes] = {}
        intact = raw[:8] == b"HTTP/1.1"
        for name, value in _LOOKED_FOR.findall(raw):
            low = name.lower()
            value = value.rstrip(b" \t")
            if low in _DROPPED:
                intact = False
            if low not in fields:
                fields[low] = value
            elif low != b"content-length":
                fields[low] += b", " + value
            elif value != fields[low]:
                raise BadResponseError("two different Content-Length fields")
            else:
                intact = False
        self.fields = fields
        self.is_intact = intact
        self._read_framing(method)

    def _read_framing(self, method: str) -> None:
        fields = self.fields
        status = self.status
        is_old = self._raw[:8] == b"HTTP/1.0"
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
                self.is_intact = False
        if self.has_no_body:
            self.body_bytes = 0
        elif self.body_bytes == 0:
            self.has_no_body = True
        connection = fields.get(b"connection")
        options = connection.lower() if connection is not None else b""
        self.closes = b"close" in options or (is_old and b"keep-alive" not in options)

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

    def lines(self) -> list[bytes]:
        """Status line and field lines to forward, each but the first with its leading CRLF."""
        rows = self._raw[:-4].split(b"\r\n")
        connection = self.fields.get(b"connection", b"").lower()
        nominated = {option.strip() for option in connection.split(b",")} - _END_TO_END
        # No Content-Length on 1xx and 204 (RFC 9110 section 8.6).
        has_length = self.status >= 200 and self.status != 204
        kept = [b"HTTP/1.1" + rows[0][8:]]
        for row in rows[1:]:
            low = row.partition(b":")[0].lower()
            if low == b"content-length":
                if not has_length:
                    continue
                has_length = False
            if low not in _DROPPED and low not in nominated:
                kept.append(b"\r\n" + row)
        return kept


def _check_grammar(raw: bytes) -> None:
    verdict = _Grammar()
    try:
        HttpResponseParser(verdict).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise BadResponseError("the answer is not HTTP/1.1") from error
    if not verdict.is_complete or raw.count(b"\n") != raw.count(b"\r\n"):
        raise BadResponseError("the answer is not HTTP/1.1")


def _status(raw: bytes) -> int:
    code = raw[9:12]
    if raw[:8] not in {b"HTTP/1.1", b"HTTP/1.0"} or not code.isdigit() or raw[8:9] != b" ":
        raise BadResponseError("the status line is not HTTP/1.1")
    status = int(code)
    if not 100 <= status <= 599:
        raise BadResponseError("the status is not between 100 and 599")
    return status
