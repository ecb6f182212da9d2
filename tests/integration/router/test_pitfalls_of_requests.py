"""One test per request pitfall that other proxies fell into; smuggling shapes never reach an app."""

from __future__ import annotations

import json

import pytest

from tests.integration.router.harness import AppConnection, Rig

GET = b"GET /api/search HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /api/write HTTP/1.1\r\nHost: a\r\n"


async def refused(router: Rig, data: bytes, status: int = 400) -> None:
    """The router answers once, closes, and no app hears of it, nor of what was smuggled behind."""
    found = await router.exchange(data + b"GET /api/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), found
    assert b"Connection: close" in head
    assert json.loads(body)["error"]["code"]
    assert not router.monolith.requests
    assert not router.content.requests


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\r\n",
        b"Transfer-Encoding\r\n: chunked\r\n",
        b"Transfer-Encoding: chunked\r\n : x\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\n",
        b"X: y\0z\r\n",
        b" X: y\r\n",
    ],
)
async def test_pitfall_content_length_with_transfer_encoding_odd_codings_and_bare_lf(
    rig, framing: bytes
) -> None:
    await refused(await rig(), POST + framing + b"\r\n0\r\n\r\n")


async def test_pitfall_http_1_0_has_no_transfer_encoding(rig) -> None:
    await refused(
        await rig(),
        b"POST /api/write HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"5 ;a\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"0\r\nTrailer\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
    ],
)
async def test_pitfall_broken_chunks_never_reach_an_app_as_a_whole_request(
    rig, chunks: bytes
) -> None:
    async def script(app: AppConnection) -> None:
        await app.request()
        app.app.requests[-1].body = b"complete"

    router = await rig(script)
    found = await router.exchange(
        POST
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + chunks
        + b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert found.startswith(b"HTTP/1.1 400 ")
    assert found.count(b"HTTP/1.1 ") == 1
    assert not any(request.body for request in router.monolith.requests)


async def test_pitfall_chunk_extensions_and_our_framing_are_written_anew(rig) -> None:
    seen: list[bytes] = []

    async def script(app: AppConnection) -> None:
        await app.request(body=False)
        seen.append(await app.reader.readuntil(b"0\r\n\r\n"))
        await app.answer()

    router = await rig(script)
    answer = await router.ask(
        POST + b'Transfer-Encoding: chunked\r\n\r\n003;x=y\r\nabc\r\n2;q="1"\r\nde\r\n000\r\n\r\n'
    )
    assert answer.status == 200
    assert seen == [b"5\r\nabcde\r\n0\r\n\r\n"]


@pytest.mark.parametrize(
    "length",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: 5_0\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        "Content-Length: \u0665\r\n".encode(),
    ],
)
async def test_pitfall_duplicate_empty_or_signed_content_length(rig, length: bytes) -> None:
    await refused(await rig(), POST + length + b"\r\nhello")


async def test_pitfall_trailers_are_read_to_their_end_and_never_become_headers(rig) -> None:
    router = await rig()
    client = await router.client()
    first = await client.ask(
        POST + b"Transfer-Encoding: chunked\r\nTrailer: X-Real-IP\r\n\r\n"
        b"2\r\nab\r\n0\r\nX-Real-IP: 6.6.6.6\r\nAuthorization: Bearer evil\r\n\r\n"
    )
    second = await client.ask(GET + b"\r\n")
    assert (first.status, second.status) == (200, 200)
    request = router.monolith.requests[0]
    assert request.body == b"ab"
    assert request.values("x-real-ip") == ["127.0.0.1"]
    assert not request.values("authorization")
    assert not request.values("trailer")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/search HTTP/1.1\r\n",
        b"GET /api/search HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        b"GET /api/search HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        b"GET /api/search HTTP/1.1\r\nHost:\r\n",
        b"GET /api/search HTTP/1.1\r\nHost: a b\r\n",
        b"GET /api/search HTTP/1.1\r\nHost: a/b\r\n",
        b"GET /api/search HTTP/1.1\r\nHost: a@b\r\n",
        b"GET /api/search HTTP/1.1\r\nHost: a, b\r\n",
        b"GET /api/search HTTP/1.1\r\nHost: a:port\r\n",
        b"GET http://user@b/api/search HTTP/1.1\r\nHost: a\r\n",
        b"GET http:///api/search HTTP/1.1\r\nHost: a\r\n",
        b"GET ftp://b/api/search HTTP/1.1\r\nHost: a\r\n",
        b"GET api/search HTTP/1.1\r\nHost: a\r\n",
    ],
)
async def test_pitfall_exactly_one_valid_host(rig, head: bytes) -> None:
    await refused(await rig(), head + b"\r\n")


async def test_pitfall_the_authority_of_an_absolute_target_wins_and_host_is_rebuilt(rig) -> None:
    router = await rig()
    await router.ask(
        b"GET http://api.example.com:8080/api/search?q=1 HTTP/1.1\r\nHost: other.example.com\r\n\r\n"
    )
    request = router.monolith.requests[0]
    assert request.line == "GET /api/search?q=1 HTTP/1.1"
    assert request.values("host") == ["api.example.com:8080"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/api/x/../search", 400),
        (b"/api/x/%2e%2e/search", 400),
        (b"/api/..;x/search", 400),
        (b"/api/..%3Bx/search", 400),
        (b"/api%2Fsearch", 400),
        (b"/api%5Csearch", 400),
        (b"/api/search#x", 400),
        (b"/api/search%00", 400),
        (b"/api\\search", 400),
        (b"/api//search", 404),
        (b"//api/search", 404),
    ],
)
async def test_pitfall_ambiguous_paths_reach_no_app(rig, target: bytes, status: int) -> None:
    router = await rig()
    answer = await router.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == status
    assert not router.monolith.requests


async def test_pitfall_the_matched_path_is_the_forwarded_path(rig) -> None:
    router = await rig(percent=100)
    answer = await router.ask(b"GET /api/%73%65arch?q=%73 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.body == b"content"
    assert router.content.requests[0].line == "GET /api/search?q=%73 HTTP/1.1"


async def test_pitfall_a_semicolon_in_the_query_is_passed_raw(rig) -> None:
    router = await rig()
    await router.ask(b"GET /api/search?a=1;b=2&c=../%2F HTTP/1.1\r\nHost: a\r\n\r\n")
    assert router.monolith.requests[0].line == "GET /api/search?a=1;b=2&c=../%2F HTTP/1.1"


async def test_pitfall_connection_nominated_headers_cannot_remove_ours_or_the_apps(rig) -> None:
    router = await rig(trusted_proxies=("127.0.0.1/32",))
    await router.ask(
        GET + b"Connection: close, X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, X-Request-Id,"
        b" Authorization, Cookie, traceparent, X-Hop\r\n"
        b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nAuthorization: Bearer t\r\n"
        b"Cookie: a=b\r\nX-Hop: gone\r\nX-Request-Id: rid\r\n\r\n"
    )
    request = router.monolith.requests[0]
    assert request.values("x-forwarded-for") == ["203.0.113.9, 127.0.0.1"]
    assert request.values("x-real-ip") == ["203.0.113.9"]
    assert request.values("x-forwarded-proto") == ["https"]
    assert request.values("x-request-id") == ["rid"]
    assert request.values("authorization") == ["Bearer t"]
    assert request.values("cookie") == ["a=b"]
    assert not request.values("x-hop")
    assert not request.values("connection")


async def test_pitfall_hop_by_hop_headers_stay_on_their_hop(rig) -> None:
    router = await rig()
    await router.ask(
        GET + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
        b"Proxy-Connection: x\r\nProxy-Authorization: y\r\nUpgrade: h2c\r\nHTTP2-Settings: z\r\n\r\n"
    )
    names = {line.partition(":")[0].lower() for line in router.monolith.requests[0].lines}
    assert names == {
        "host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "traceparent",
    }  # fmt: skip


async def test_pitfall_forged_forwarded_headers_and_underscore_names_stay_outside(rig) -> None:
    router = await rig()
    await router.ask(
        GET + b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Real-IP: 6.6.6.6\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n"
        b"X_Real_IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Shadow: 1\r\nX-Edge-Identity: root\r\n\r\n"
    )
    request = router.monolith.requests[0]
    assert request.values("x-forwarded-for") == ["127.0.0.1"]
    assert request.values("x-real-ip") == ["127.0.0.1"]
    assert request.values("x-forwarded-proto") == ["http"]
    text = request.head.decode()
    for forged in ("6.6.6.6", "7.7.7.7", "evil", "_", "Shadow", "root", "Forwarded: for"):
        assert forged not in text


async def test_pitfall_a_trusted_proxy_is_believed_only_up_to_the_first_stranger(rig) -> None:
    router = await rig(trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))
    for chain, address in (
        (b"6.6.6.6, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        (b"203.0.113.9", "203.0.113.9"),
        (b"garbage, 10.1.2.3", "10.1.2.3"),
        (b"", "127.0.0.1"),
    ):
        await router.ask(GET + b"X-Forwarded-For: " + chain + b"\r\n\r\n")
        assert router.monolith.requests[-1].values("x-real-ip") == [address]


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"PURGE", b"PROPFIND", b"FOO", b"get"])
async def test_pitfall_connect_trace_and_foreign_methods_are_refused(rig, method: bytes) -> None:
    router = await rig()
    target = b"a:443" if method == b"CONNECT" else b"/api/search"
    found = await router.exchange(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    status = int(found[9:12])
    assert status in {400, 405}
    assert status == 405 or method in {b"FOO", b"get"}
    assert not router.monolith.requests


async def test_pitfall_several_cookie_lines_are_joined_with_a_semicolon(rig) -> None:
    router = await rig()
    await router.ask(GET + b"Cookie: a=1\r\nX: y\r\nCookie: b=2\r\n\r\n")
    assert router.monolith.requests[0].values("cookie") == ["a=1; b=2"]


async def test_pitfall_webhook_bytes_and_signature_headers_are_identical(rig) -> None:
    router = await rig()
    body = b'{ "data" : {"id": "evt_1"},\r\n "x": "\xc3\xa9" }\n\x00\xff'
    await router.ask(
        b"POST /api/hook HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Encoding: identity\r\nStripe-Signature: t=1,v1=ab,  v1=cd\r\nwebhook-id: X\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    request = router.monolith.requests[0]
    assert request.body == body
    assert "Stripe-Signature: t=1,v1=ab,  v1=cd" in request.lines
    assert "webhook-id: X" in request.lines
    assert "Content-Encoding: identity" in request.lines


async def test_limits_of_line_head_and_body_have_their_own_statuses(rig) -> None:
    router = await rig(max_body_bytes=1000)
    await refused(router, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414)
    await refused(router, b"GET /" + b"a" * 9000, 414)
    await refused(router, GET + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431)
    await refused(router, GET + b"X: y\r\n" * 250 + b"\r\n", 431)
    body = b"a" * 1001
    for framed in (
        b"Content-Length: 1001\r\n\r\n" + body,
        b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + body + b"\r\n0\r\n\r\n",
    ):
        answer = await router.ask(POST + framed)
        assert answer.status == 413
        assert json.loads(answer.body)["error"]["details"] == {"limit_bytes": 1000}
    assert router.causes() == {
        "url_too_long": 2, "head_too_large": 2, "body_too_large": 2,
    }  # fmt: skip
