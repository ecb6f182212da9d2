"""The request head as an app gets it: the client's lines, then the router's own; pure."""

from __future__ import annotations

from router.header_block import HeaderBlock
from router.request_head import RequestHead
from router.request_ids import new_traceparent, traceparent_of_uuid
from router.trust import Forwarded


def forwarded_head(
    head: RequestHead,
    path: str,
    forwarded: Forwarded,
    request_id: bytes,
    *,
    host: bytes,
    extra: bytes = b"",
) -> bytes:
    """Head bytes with the empty line. `extra` are further lines, each with its leading CRLF."""
    block = head.block
    trace = block.traceparent
    if trace is None:
        is_given = block.request_id is not None
        trace = new_traceparent(request_id) if is_given else traceparent_of_uuid(request_id)
    tail = block.tail
    if tail is None or tail[0] is not forwarded:
        tail = block.tail = (forwarded, _tail(block, forwarded))
    return b"".join(
        (
            head.method.encode("ascii"),
            b" ",
            path.encode("ascii"),
            head.query,
            b" HTTP/1.1\r\nHost: ",
            head.host or host,
            b"\r\nConnection: Upgrade\r\nUpgrade: websocket" if head.upgrade else b"",
            b"\r\nExpect: 100-continue" if head.expects_continue else b"",
            tail[1],
            request_id,
            b"\r\ntraceparent: ",
            trace,
            extra,
            b"\r\n\r\n",
        )
    )


def _tail(block: HeaderBlock, forwarded: Forwarded) -> bytes:
    """Everything that is the same for every request with these field lines from this client.

    What the router says about the client comes last and after everything nominated by `Connection` was
    taken out, so nothing that a client sends can remove or forge it (CVE-2022-31813).
    """
    framing = b""
    if block.is_chunked:
        framing = b"\r\nTransfer-Encoding: chunked"
    elif block.content_length >= 0:
        framing = b"\r\nContent-Length: %d" % block.content_length
    return b"".join((block.lines, framing, forwarded.lines, b"\r\nX-Request-Id: "))
