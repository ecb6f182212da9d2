"""Conventions of every answer: ids, headers, errors, paths, methods, CORS."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.support.sample_service import BROKEN, LOCKED, MISSING, ORIGIN, SLOW


async def test_an_answer_carries_the_request_id_and_nosniff(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/search?q=a", headers={"X-Request-Id": "abc.DEF_1-2"})
    assert answer.headers["x-request-id"] == "abc.DEF_1-2"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize("offered", ["", "with space", "a" * 65, "ü", "a/b"])
async def test_a_bad_request_id_is_replaced_by_a_uuid(
    client: httpx.AsyncClient, offered: str
) -> None:
    answer = await client.get("/api/search?q=a", headers={"X-Request-Id": offered.encode()})
    assert str(uuid.UUID(answer.headers["x-request-id"])) == answer.headers["x-request-id"]


async def test_errors_have_one_shape_with_the_request_id(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/resources/movies/{MISSING}")
    assert answer.status_code == 404
    body = answer.json()
    assert body["error"] == {
        "code": "NOT_FOUND",
        "message": body["detail"],
        "details": {},
        "request_id": answer.headers["x-request-id"],
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_a_row_that_others_hold_is_no_defect_and_says_when_to_come_back(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get(f"/api/resources/movies/{LOCKED}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_an_unexpected_error_says_nothing_about_its_cause(client: httpx.AsyncClient) -> None:
    answer = await client.get(
        f"/api/resources/movies/{BROKEN}", headers={"Origin": ORIGIN, "X-Request-Id": "r1"}
    )
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "INTERNAL_ERROR"
    assert "hunter2" not in answer.text
    assert "fire" not in answer.text
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["x-request-id"] == "r1"


async def test_a_handler_that_takes_too_long_is_504(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/resources/movies/{SLOW}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "UPSTREAM_TIMEOUT")


async def test_fields_that_are_wrong_are_named_by_path(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/search?q=&limit=101")
    assert answer.status_code == 422
    fields = answer.json()["error"]["details"]["fields"]
    assert [field["path"] for field in fields] == ["query.q", "query.limit"]
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "title_id", ["zzz", "0" * 32, "{" + MISSING + "}", "urn:uuid:" + MISSING, "a%00b"]
)
async def test_an_id_that_is_no_uuid_is_422(client: httpx.AsyncClient, title_id: str) -> None:
    answer = await client.get(f"/api/resources/movies/{title_id}")
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["fields"][0]["path"] == "path.title_id"


async def test_a_trailing_slash_redirects_reads_relatively(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/search/?q=a%20b&x=/")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/api/search?q=a%20b&x=/"
    assert (await client.head("/api/search/")).status_code == 307


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/chat/talk_with/"),
        ("GET", "/api//search"),
        ("GET", "//evil.example/"),
        ("GET", "/%2F%2Fevil.example/"),
        ("GET", "/API/search"),
        ("GET", "/api/search%2F"),
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("DELETE", "/api/nothing"),
    ],
)
async def test_other_unknown_paths_are_404(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(
        method, httpx.URL("http://sample").copy_with(raw_path=path.encode())
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_a_redirect_never_leads_to_another_host(client: httpx.AsyncClient) -> None:
    url = httpx.URL("http://sample").copy_with(raw_path=b"/\\evil.example/")
    answer = await client.get(url)
    assert answer.headers["location"] == "/%5Cevil.example"


async def test_a_wrong_method_is_405_with_every_allowed_one(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/api/images/{MISSING}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert (await client.head("/api/chat/talk_with")).status_code == 405


async def test_head_answers_as_get_without_a_body(client: httpx.AsyncClient) -> None:
    got = await client.get("/api/search?q=abc")
    head = await client.head("/api/search?q=abc")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_options_without_a_preflight_lists_the_methods(client: httpx.AsyncClient) -> None:
    answer = await client.options("/api/search")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (await client.options("/api/nothing")).status_code == 404


async def test_a_preflight_needs_no_token_and_is_not_counted(client: httpx.AsyncClient) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = await client.options("/api/chat/talk_with", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-max-age"] == "600"
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert answer.headers["vary"] == "Origin"
    assert "x-ratelimit-limit" not in answer.headers


async def test_an_unlisted_origin_gets_no_cors_header(client: httpx.AsyncClient) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    for answer in (
        await client.options("/api/search", headers=headers),
        await client.get("/api/search?q=a", headers=headers),
    ):
        assert answer.status_code in (200, 204)
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_old_image_prefix_is_an_alias(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/image/{MISSING}")
    assert answer.json()["error"]["code"] == "AUTH_REQUIRED"
    assert (await client.get("/api/imagery")).status_code == 404


async def test_a_matching_etag_gives_304_without_a_body(client: httpx.AsyncClient) -> None:
    path = "/api/resources/movies/33333333-3333-4333-8333-333333333333"
    first = await client.get(path)
    assert first.headers["etag"] == 'W/"17"'
    for given in ('W/"17"', '"17"', '"x", W/"17"', "*"):
        again = await client.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == 'W/"17"'
        assert again.headers["cache-control"] == "public, max-age=300"
    assert (await client.get(path, headers={"If-None-Match": 'W/"18"'})).status_code == 200


async def test_a_broken_cursor_is_400(client: httpx.AsyncClient) -> None:
    for cursor in ("zz", "djJ8MXwt", "é", "a" * 500, "djF8MQ"):
        answer = await client.get("/api/search", params={"q": "a", "cursor": cursor})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "MALFORMED_REQUEST")
