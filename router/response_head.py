"""Reads one response head of an app and says how its body ends; pure, knows no sockets.

Lines pass in their order and spelling; only what concerns one connection is taken out, and what would
tell which app answered (contract, 1.2).
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_PASS: Final = 0
_DROP: Final = 1
_READ: Final = 2
#: What is done with a field: `_DROP` for what is of one connection only (RFC 9110 section 7.6.1) or tells
#: who answered, `_READ` for what the router looks at itself. Everything else just passes.
_ACTIONS: Final[dict[bytes, int]] = {
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
_END_TO_END: Final = frozenset(
    {
        b"content-length", b"content-type", b"content-encoding", b"set-cookie", b"date", b"etag",
        b"cache-control", b"location", b"vary", b"x-request-id", b"www-authenticate",
    }
)  # fmt: skip


#: Field lines that are kept once they were read, and the longest that is: most lines of an app's answers
#: are the same again and again. At most half a MiB.
MAX_KEPT_LINES: Final = 1024
MAX_KEPT_BYTES: Final = 128


class BadResponseError(ValueError):
    """The app's answer is not HTTP/1.1, or its end could be read in two ways."""


class _Line:
    """One field line, understood; `nominated` are the fields that a `Connection` line takes away."""

    __slots__ = ("action", "name", "nominated", "options", "value")

    def __init__(self, row: bytes) -> None:
        """Parse a line that llhttp has accepted. Raises BadResponseError."""
        name, colon, value = row.partition(b":")
        if not colon or row[0] in b" \t":
            raise BadResponseError("a line of the answer has no name")
        self.name = name.lower()
        self.action = _ACTIONS.get(self.name, _PASS)
        self.value = value.strip(b" \t")
        self.options: tuple[bytes, ...] = ()
        self.nominated: frozenset[bytes] = frozenset()
        if self.name == b"connection":
            self.options = tuple(option.strip() for option in self.value.lower().split(b","))
            # What is dropped anyway needs no second look at every line.
            self.nominated = frozenset(
                option
                for option in self.options
                if option not in _END_TO_END and _ACTIONS.get(option) != _DROP
            )


_lines: Final[dict[bytes, _Line]] = {}
_status_lines: Final[dict[bytes, int]] = {}


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
        """Parse a head that ends with its empty line, the answer to `method`. Raises BadResponseError.

        A line that stood in a good head before is good; a head with any other line is judged by llhttp.
        """
        rows = raw[:-4].split(b"\r\n")
        first = rows[0]
        status = _status_lines.get(first)
        lines: list[_Line] | None = None
        if status is not None:
            lines = _known_lines(rows)
        if status is None or lines is None:
            _check_grammar(raw, len(rows))
            status = _read_status(first)
            lines = [_read_line(rows[index]) for index in range(1, len(rows))]
        self.status = status
        fields: dict[bytes, bytes] = {}
        is_old = first[7] == 0x30  # the 0 of HTTP/1.0
        intact = not is_old
        kept = [b"HTTP/1.1" + first[8:]] if is_old else [first]
        connection: _Line | None = None
        index = 0
        for line in lines:
            index += 1
            action = line.action
            if action == _PASS:
                kept.append(rows[index])
                continue
            name = line.name
            known = fields.get(name)
            if known is None:
                fields[name] = line.value
                if name == b"connection":
                    connection = line
            elif name != b"content-length":
                fields[name] = known + b", " + line.value
                if name == b"connection":
                    connection = _Line(b"connection:" + fields[name])
            else:
                raise BadResponseError("more than one Content-Length field")
            if action == _DROP:
                intact = False
            else:
                kept.append(rows[index])
        self.fields = fields
        self.is_intact = intact
        self._kept = kept
        self._read_framing(method, is_old=is_old)
        if connection is None:
            self.closes = is_old
            return
        options = connection.options
        self.closes = b"close" in options or (is_old and b"keep-alive" not in options)
        if connection.nominated:
            self._drop(connection.nominated)

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
            if not length or len(length) > 18 or not length.isdigit():
                raise BadResponseError("the Content-Length of the answer is not a number")
            self.body_bytes = int(length)
            if status < 200 or status == 204:
                # No Content-Length on 1xx and 204 (RFC 9110 section 8.6).
                self._drop(frozenset({b"content-length"}))
        if self.has_no_body:
            self.body_bytes = 0
        elif self.body_bytes == 0:
            self.has_no_body = True

    def _drop(self, names: frozenset[bytes]) -> None:
        """Take out the lines of these fields."""
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


def _known_lines(rows: list[bytes]) -> list[_Line] | None:
    """The field lines behind the status line when all of them were read before."""
    found: list[_Line] = []
    for index in range(1, len(rows)):
        line = _lines.get(rows[index])
        if line is None:
            return None
        found.append(line)
    return found


def forget_lines() -> None:
    """Read every line anew from now on."""
    _lines.clear()
    _status_lines.clear()


def _read_line(row: bytes) -> _Line:
    line = _lines.get(row)
    if line is None:
        line = _Line(row)
        if len(row) <= MAX_KEPT_BYTES and line.name != b"set-cookie":
            if len(_lines) >= MAX_KEPT_LINES:
                _lines.clear()
            _lines[row] = line
    return line


def _check_grammar(raw: bytes, rows: int) -> None:
    """llhttp's verdict over a head of so many lines."""
    verdict = _Grammar()
    try:
        HttpResponseParser(verdict).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise BadResponseError("the answer is not HTTP/1.1") from error
    if not verdict.is_complete:
        raise BadResponseError("the answer is not HTTP/1.1")
    if raw.count(b"\n") != rows + 1:
        raise BadResponseError("a line of the answer does not end with CRLF")


def _read_status(first: bytes) -> int:
    code = first[9:12]
    if first[:8] not in {b"HTTP/1.1", b"HTTP/1.0"} or not code.isdigit() or first[8:9] != b" ":
        raise BadResponseError("the status line is not HTTP/1.1")
    status = int(code)
    if not 100 <= status <= 599:
        raise BadResponseError("the status is not between 100 and 599")
    if len(first) <= MAX_KEPT_BYTES:
        if len(_status_lines) >= MAX_KEPT_LINES:
            _status_lines.clear()
        _status_lines[first] = status
    return status
