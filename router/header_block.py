"""Reads the field lines of a request once, into what routing and forwarding need; pure, knows no request line.

Clients send the same lines again and again on one connection, so a block is kept and reused while its bytes
are the same. Everything is refused that two readers could take differently (RFC 9112 sections 2.2, 5, 6.1, 6.3).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from router.failure import malformed
from router.request_ids import is_request_id, is_traceparent
from router.trust import Forwarded
from shared.control.model import Flag
from shared.routing.decision import Decision
from shared.routing.override import COOKIE
from shared.routing.paths import canonical_path
from shared.routing.sticky import cookie_value

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_OVERRIDE_COOKIE: Final = COOKIE.encode()

#: Fields that concern one connection only (RFC 9110 section 7.6.1), or that the router writes itself.
_DROPPED: Final = frozenset(
    {
        b"host", b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"content-length", b"upgrade", b"http2-settings", b"expect",
        b"proxy-authorization", b"proxy-authenticate", b"cookie", b"traceparent",
        b"x-request-id", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto", b"x-shadow",
        b"x-strangler-override", b"x-edge-identity", b"forwarded",
    }
)  # fmt: skip
#: Only a trusted proxy may send these on.
_FORWARDED_PREFIX: Final = b"x-forwarded-"
#: Fields that a `Connection` line can never take away: they are meant for the app (Apache CVE-2022-31813).
_END_TO_END: Final = frozenset(
    {
        b"authorization", b"content-type", b"content-encoding", b"accept", b"origin", b"referer",
        b"user-agent", b"idempotency-key", b"if-none-match", b"if-match", b"range",
        b"stripe-signature", b"webhook-id", b"webhook-timestamp", b"webhook-signature",
        b"svix-id", b"svix-timestamp", b"svix-signature", b"tracestate", b"x-client-version",
        b"access-control-request-method", b"access-control-request-headers",
    }
)  # fmt: skip
_SINGLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization"})
#: Blocks that are kept, and the longest that is: a worker spends at most a few MiB on them.
MAX_KEPT_BLOCKS: Final = 1024
MAX_KEPT_BYTES: Final = 2048
MAX_KEPT_PATH_BYTES: Final = 128
#: Single lines that are kept for blocks that differ in a few lines only, as behind a proxy that numbers or
#: times each request, and the longest that is.
MAX_KEPT_LINES: Final = 1024
MAX_KEPT_LINE_BYTES: Final = 1024


class HeaderBlock:
    """The parsed field lines of a request; not changed after they were read, but for its two caches.

    `fields` has lower-case names and the first value of each (cookies and lists are joined); `lines` is
    what is forwarded of them, each line with its leading CRLF, in the client's spelling.
    `content_length` is -1 without the field, `host` None without one. `options` are those of `Connection`.
    """

    __slots__ = (
        "content_length", "decisions", "expects_continue", "fields", "host", "host_name",
        "is_chunked", "lines", "options", "override", "request_id", "tail", "traceparent",
        "wants_websocket",
    )  # fmt: skip

    def __init__(self, fields: dict[bytes, bytes], lines: list[bytes]) -> None:
        """`fields` and `lines` as they are read, before anything nominated by `Connection` is taken out."""
        self.fields = fields
        self.options: tuple[bytes, ...] = ()
        value = fields.get(b"connection")
        if value is not None:
            self.options = tuple(option.strip() for option in value.lower().split(b","))
            lines = _without_nominated(fields, lines, self.options)
        cookie = fields.get(b"cookie")
        if cookie is not None:
            lines.append(b"\r\nCookie: " + cookie)
        self.wants_websocket = (
            b"upgrade" in self.options and fields.get(b"upgrade", b"").lower() == b"websocket"
        )
        self.expects_continue = fields.get(b"expect", b"").lower() == b"100-continue"
        self.is_chunked = False
        self.content_length = -1
        self._read_framing()
        self.host = fields.get(b"host")
        self.host_name = host_name(self.host) if self.host is not None else ""
        self.override = fields.get(b"x-strangler-override")
        if self.override is None and cookie is not None and _OVERRIDE_COOKIE in cookie:
            self.override = cookie_value(cookie, _OVERRIDE_COOKIE)
        given = fields.get(b"x-request-id")
        self.request_id = given if given is not None and is_request_id(given) else None
        trace = fields.get(b"traceparent")
        self.traceparent = trace if trace is not None and is_traceparent(trace) else None
        self.lines = b"".join(lines)
        self.tail: tuple[Forwarded, bytes] | None = None  # cache of the last forwarded form
        self.decisions: dict[str, tuple[Flag, Decision]] = {}  # cache by route, good for one flag

    def _read_framing(self) -> None:
        coding = self.fields.get(b"transfer-encoding")
        length = self.fields.get(b"content-length")
        if coding is not None:
            if length is not None:
                raise malformed("both Content-Length and Transfer-Encoding are given")
            if coding.lower() != b"chunked":
                raise malformed("the only transfer coding is chunked")
            self.is_chunked = True
        elif length is not None:
            if not length or len(length) > 18 or not length.isdigit():
                raise malformed("the Content-Length is not a number")
            self.content_length = int(length)


class _Grammar:
    """llhttp's verdict over one head."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = False

    def on_headers_complete(self) -> None:
        self.is_complete = True


class _Line:
    """One field line, understood; `forwarded` is what an app gets of it, maybe nothing."""

    __slots__ = ("forwarded", "name", "value")

    def __init__(self, row: bytes, *, is_trusted: bool) -> None:
        """Parse a line that llhttp has accepted. Raises Refusal."""
        name, colon, value = row.partition(b":")
        if not colon or not name or row[0] in b" \t":
            raise malformed("a header line has no name")
        low = name.lower()
        self.name = low
        self.value = value.strip(b" \t")
        # Names with `_` look like names with `-` to CGI-style apps: nginx drops them too.
        passes = low not in _DROPPED and b"_" not in low
        if low.startswith(_FORWARDED_PREFIX) and not is_trusted:
            passes = False
        self.forwarded = b"\r\n" + row if passes else b""


class HeaderBlocks:
    """Reads blocks and keeps the latest ones. One per kind of peer: trusted or not."""

    __slots__ = ("_is_trusted", "_kept", "_lines", "_paths")

    def __init__(self, *, is_trusted: bool) -> None:
        self._is_trusted = is_trusted
        self._kept: dict[bytes, HeaderBlock] = {}
        self._lines: dict[bytes, _Line] = {}
        self._paths: dict[bytes, str] = {}

    def path(self, raw: bytes) -> str:
        """The canonical form of a raw path, kept too. Raises PathRefusedError."""
        found = self._paths.get(raw)
        if found is None:
            found = canonical_path(raw)
            if len(raw) <= MAX_KEPT_PATH_BYTES:
                if len(self._paths) >= MAX_KEPT_BLOCKS:
                    self._paths.clear()
                self._paths[raw] = found
        return found

    def read(self, raw: bytes, line_end: int) -> HeaderBlock:
        """The block behind the request line, which ends at `line_end`. Raises Refusal.

        `raw` is a whole head with its empty line; only its field lines are looked at here.
        """
        key = raw[line_end:]
        found = self._kept.get(key)
        if found is not None:
            return found
        rows = key[2:-4].split(b"\r\n") if len(key) > 4 else []
        lines: list[_Line] = []
        is_known = True
        for row in rows:
            line = self._lines.get(row)
            if line is None:
                line = self._read_line(row)
                is_known = False
            lines.append(line)
        block = _join(lines)
        # A block with a new line may be the only one of its kind, as behind a proxy that stamps requests.
        if is_known and len(key) <= MAX_KEPT_BYTES:
            if len(self._kept) >= MAX_KEPT_BLOCKS:
                self._kept.clear()
            self._kept[key] = block
        return block

    def _read_line(self, row: bytes) -> _Line:
        """A line that was not seen before. Raises Refusal."""
        _check_grammar(row)
        line = _Line(row, is_trusted=self._is_trusted)
        if len(row) <= MAX_KEPT_LINE_BYTES:
            if len(self._lines) >= MAX_KEPT_LINES:
                self._lines.clear()
            self._lines[row] = line
        return line


def _join(lines: list[_Line]) -> HeaderBlock:
    fields: dict[bytes, bytes] = {}
    forwarded: list[bytes] = []
    for line in lines:
        name = line.name
        known = fields.get(name)
        if known is None:
            fields[name] = line.value
        elif name in _SINGLE:
            raise malformed(f"more than one {name.decode('latin-1')} field")
        else:
            fields[name] = known + (b"; " if name == b"cookie" else b", ") + line.value
        if line.forwarded:
            forwarded.append(line.forwarded)
    return HeaderBlock(fields, forwarded)


def _check_grammar(row: bytes) -> None:
    """llhttp's verdict over one line; what several lines mean together is judged here. Raises Refusal."""
    if not row or b"\n" in row or b"\r" in row:
        raise malformed("a line of the request head does not end with CRLF")
    verdict = _Grammar()
    try:
        # llhttp wants a request line; the real one is checked by its own reader.
        HttpRequestParser(verdict).feed_data(b"POST / HTTP/1.1\r\n" + row + b"\r\n\r\n")
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise malformed("the request head is not HTTP/1.1") from error
    if not verdict.is_complete:
        raise malformed("the request head is not HTTP/1.1")


def _without_nominated(
    fields: dict[bytes, bytes], lines: list[bytes], options: tuple[bytes, ...]
) -> list[bytes]:
    for option in options:
        if (
            option in fields
            and option not in _DROPPED
            and option not in _END_TO_END
            and not option.startswith(_FORWARDED_PREFIX)
        ):
            prefix = b"\r\n" + option + b":"
            lines = [line for line in lines if not line.lower().startswith(prefix)]
    return lines


@lru_cache(maxsize=1024)
def host_name(host: bytes) -> str:
    """The name in a Host field, lower case and without port. Raises Refusal."""
    if _HOST.fullmatch(host) is None:
        raise malformed("the Host field is not a host name")
    name = host.decode("ascii").lower()
    return name[: name.index("]") + 1] if name[0] == "[" else name.partition(":")[0]
