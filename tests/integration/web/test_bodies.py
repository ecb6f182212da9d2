"""Request bodies: type, size, JSON, forms, raw webhook bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import httpx
import pytest

from shared.contract.values import timestamp_text
from tests.integration.web.conftest import Person
from tests.support.sample_service import Talk

Bearer = Callable[[UUID], dict[str, str]]
TALK = "/api/chat/talk_with"


@pytest.fixture
async def headers(person: Person, bearer: Bearer) -> dict[str, str]:
    return bearer(await person())


def _error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonx",
    ],
)
async def test_another_type_is_415(
    client: httpx.AsyncClient, headers: dict[str, str], content_type: str | None
) -> None:
    if content_type:
        headers = headers | {"Content-Type": content_type}
    answer = await client.post(TALK, content=b'{"message": "hi"}', headers=headers)
    assert _error(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.json()["error"]["details"] == {"allowed": ["application/json"]}


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
async def test_json_in_utf8_is_read(
    client: httpx.AsyncClient, headers: dict[str, str], content_type: str
) -> None:
    answer = await client.post(
        TALK,
        content='{"message": " Zoë "}'.encode(),
        headers=headers | {"Content-Type": content_type},
    )
    assert answer.json()["message"] == "Zoë"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"message": NaN}',
        b'{"message": "\\ud800"}',
        b'{"message": "\xff"}',
        b"[" * 100_000,
        b'{"count": Infinity}',
        b"\x00",
        '{"message": "x"}'.encode("utf-16"),
    ],
)
async def test_what_is_not_json_is_400(
    client: httpx.AsyncClient, headers: dict[str, str], body: bytes
) -> None:
    answer = await client.post(
        TALK, content=body, headers=headers | {"Content-Type": "application/json"}
    )
    assert _error(answer) == (400, "MALFORMED_REQUEST")


async def test_a_body_that_announces_too_much_is_413_before_it_is_read(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    body = b'{"message": "' + b"a" * 256 * 1024 + b'"}'
    answer = await client.post(
        TALK, content=body, headers=headers | {"Content-Type": "application/json"}
    )
    assert _error(answer) == (413, "PAYLOAD_TOO_LARGE")
    assert answer.json()["error"]["details"] == {"limit_bytes": 262144}


async def test_a_chunked_body_that_grows_too_large_is_413(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"a" * 8192

    answer = await client.post(
        TALK, content=chunks(), headers=headers | {"Content-Type": "application/json"}
    )
    assert _error(answer) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("{}", "body.message"),
        ('{"message": null}', "body.message"),
        ('{"message": "   "}', "body.message"),
        ('{"message": "a\\u0000b"}', "body.message"),
        ('{"message": "a", "count": true}', "body.count"),
        ('{"message": "a", "count": "1.5"}', "body.count"),
        ('{"message": "a", "count": 1.5}', "body.count"),
        ('{"message": "a", "at": 17}', "body.at"),
        ('{"message": "a", "at": "2025-01-31T12:00:00"}', "body.at"),
        ("[]", "body"),
        ('"text"', "body"),
        ("", "body.message"),
    ],
)
async def test_bad_fields_are_422_with_their_path(
    client: httpx.AsyncClient, headers: dict[str, str], body: str, path: str
) -> None:
    answer = await client.post(
        TALK, content=body.encode(), headers=headers | {"Content-Type": "application/json"}
    )
    assert _error(answer) == (422, "VALIDATION_ERROR")
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == [path]


async def test_unknown_fields_are_ignored_null_is_left_out_and_digits_count(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    body = {"message": "a", "extra": 1, "character": None, "mode": None, "count": "7"}
    assert (await client.post(TALK, json=body, headers=headers)).status_code == 200
    assert Talk.model_validate(body).count == 7
    assert Talk.model_validate(body).mode == "plain"


def test_a_timestamp_keeps_three_digits_in_utc() -> None:
    talk = Talk.model_validate({"message": "a", "at": "2025-01-31T12:00:00.123999+02:00"})
    assert talk.at is not None
    assert timestamp_text(talk.at) == "2025-01-31T10:00:00.123Z"


async def test_a_text_is_counted_in_code_points_after_trimming(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    fits = await client.post(TALK, json={"message": " " + "😀" * 4000 + " "}, headers=headers)
    long = await client.post(TALK, json={"message": "😀" * 4001}, headers=headers)
    assert (fits.status_code, long.status_code) == (200, 422)


async def test_a_form_is_read_and_its_parts_named_in_errors(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    path = "/api/images/upload"
    good = await client.post(
        path,
        files={"file": ("a.png", b"12345", "image/png")},
        data={"purpose": "avatar"},
        headers=headers,
    )
    assert good.json() == {"name": "a.png", "bytes": 5, "purpose": "avatar"}
    missing = await client.post(path, files={"other": ("a.png", b"1")}, headers=headers)
    assert _error(missing) == (422, "VALIDATION_ERROR")
    assert missing.json()["error"]["details"]["fields"][0]["path"] == "form.file"
    empty = await client.post(path, headers=headers)
    assert empty.json()["error"]["details"]["fields"][0]["path"] == "form.file"
    wrong = await client.post(path, json={"file": "x"}, headers=headers)
    assert _error(wrong) == (415, "UNSUPPORTED_MEDIA_TYPE")
    broken = await client.post(
        path,
        content=b"--x\r\nnonsense",
        headers=headers | {"Content-Type": "multipart/form-data; boundary=y"},
    )
    assert _error(broken) == (400, "MALFORMED_REQUEST")


async def test_a_form_without_end_is_cut_at_the_limit(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(27):
            yield b"a" * 1024 * 1024

    answer = await client.post(
        "/api/images/upload",
        content=chunks(),
        headers=headers | {"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert _error(answer) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_webhook_gets_the_raw_bytes_of_any_type(client: httpx.AsyncClient) -> None:
    path = "/api/payments/webhook"
    answer = await client.post(path, content=b"\xff\x00{", headers={"Content-Type": "text/x"})
    assert answer.json()["limit"] == 3
    large = await client.post(path, content=b"a" * (1024 * 1024 + 1))
    assert _error(large) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_write_without_fields_still_refuses_a_body_it_cannot_read(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    path = f"/api/images/{uuid4()}"
    assert (await client.delete(path, headers=headers)).status_code == 204
    answer = await client.request("DELETE", path, content=b"x", headers=headers)
    assert _error(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")
