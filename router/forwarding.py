"""The request head as an app gets it: the client's lines, then the router's own; pure."""

from __future__ import annotations

from router.request_head import RequestHead
from router.request_ids import is_traceparent, new_traceparent
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
    """Head bytes with the empty line. `extra` are further lines, each with its leading CRLF.

    What the router says about the client comes last and after everything nominated by `Connection`
    was taken out, so nothing that a client sends can remove or forge it (CVE-2022-31813).
    """
    parts = [
        f"{head.method} {path}".encode("ascii"),
        head.query,
        b" HTTP/1.1\r\nHost: ",
        head.host or host,
        *head.lines,
    ]
    cookie = head.fields.get(b"cookie")
    if cookie is not None:
        parts += (b"\r\nCookie: ", cookie)
    if head.is_chunked:
        parts.append(b"\r\nTransfer-Encoding: chunked")
    elif head.content_length >= 0:
        parts.append(b"\r\nContent-Length: %d" % head.content_length)
    if head.expects_continue:
        parts.append(b"\r\nExpect: 100-continue")
    if head.upgrade:
        parts.append(b"\r\nConnection: Upgrade\r\nUpgrade: websocket")
    trace = head.fields.get(b"traceparent")
    if trace is None or not is_traceparent(trace):
        trace = new_traceparent(request_id)
    parts += (
        forwarded.lines,
        b"\r\nX-Request-Id: ",
        request_id,
        b"\r\ntraceparent: ",
        trace,
        extra,
        b"\r\n\r\n",
    )
    return b"".join(parts)
