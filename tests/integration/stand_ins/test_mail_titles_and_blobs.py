"""SendGrid's and Azure's own SDKs, plain SMTP and TMDB's paths against their stand-ins."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContentSettings
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Mail

from tests.support.stand_in_process import StandIns

ACCOUNT = "standin"
CREDENTIAL = {"account_name": ACCOUNT, "account_key": "c3RhbmQtaW4ga2V5IG9mIGEgdGVzdA=="}


def test_sendgrid_takes_mail_into_the_outbox(stand_ins: StandIns) -> None:
    client = SendGridAPIClient("SG.stand-in", host=f"{stand_ins.url}/sendgrid")
    mail = Mail("app@example.com", "ann@example.com", "Your code", "000000", "<b>000000</b>")
    answer = client.send(mail)
    assert answer.status_code == 202
    assert answer.headers["x-message-id"]
    (kept,) = stand_ins.get("/_mail")
    assert (kept["via"], kept["recipients"], kept["subject"]) == (
        "sendgrid",
        ["ann@example.com"],
        "Your code",
    )
    written = (stand_ins.outbox / kept["file"]).read_bytes()
    assert "000000" in kept["text"]
    assert email.message_from_bytes(written, policy=email.policy.default)["To"] == "ann@example.com"


def test_sendgrid_says_what_is_wrong_with_a_mail(stand_ins: StandIns) -> None:
    url = f"{stand_ins.url}/sendgrid/v3/mail/send"
    body: dict[str, list[str]] = {"personalizations": []}
    assert httpx.post(url, json=body).status_code == 401
    answer = httpx.post(url, json=body, headers={"authorization": "Bearer SG.x"})
    assert answer.status_code == 400
    assert {one["field"] for one in answer.json()["errors"]} == {"from", "personalizations"}


def _send_by_smtp(port: int) -> dict[str, tuple[int, bytes]]:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message.set_content("Hello\n.a line that starts with a dot\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.login("user", "password")
        return client.send_message(
            message, "app@example.com", ["ann@example.com", "bob+bounced@example.com"]
        )


async def test_smtp_takes_mail_and_bounces_marked_addresses(stand_ins: StandIns) -> None:
    refused = await asyncio.to_thread(_send_by_smtp, stand_ins.smtp_port)
    assert list(refused) == ["bob+bounced@example.com"]
    (kept,) = stand_ins.get("/_mail")
    assert (kept["via"], kept["sender"], kept["recipients"]) == (
        "smtp",
        "app@example.com",
        ["ann@example.com"],
    )
    assert kept["subject"] == "Grüße"
    assert ".a line that starts with a dot" in kept["text"].splitlines()


@pytest.fixture
async def tmdb(stand_ins: StandIns) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"{stand_ins.url}/tmdb/3", params={"api_key": "k"}
    ) as client:
        yield client


async def test_titles_are_found_with_their_details_and_cast(tmdb: httpx.AsyncClient) -> None:
    found = (await tmdb.get("/search/movie", params={"query": "matrix"})).json()
    assert [row["title"] for row in found["results"]] == ["The Matrix"]
    asked = {"append_to_response": "credits,external_ids"}
    detail = (await tmdb.get(f"/movie/{found['results'][0]['id']}", params=asked)).json()
    assert detail["credits"]["cast"][0]["character"] == "Neo"
    assert detail["genres"][0] == {"id": 28, "name": "Action"}
    series = (await tmdb.get("/tv/253/aggregate_credits")).json()
    assert series["cast"][1]["roles"][0]["character"] == "Spock"
    popular = (await tmdb.get("/tv/popular")).json()
    assert popular["total_results"] == len(popular["results"]) == 3


async def test_titles_need_a_key_and_an_id_that_exists(
    tmdb: httpx.AsyncClient, stand_ins: StandIns
) -> None:
    assert (await tmdb.get("/movie/1")).json()["status_code"] == 34
    assert stand_ins.status("/tmdb/3/movie/603") == 401
    assert stand_ins.get("/tmdb/3/movie/603")["status_code"] == 7


async def test_series_of_the_other_catalogue_are_found_after_signing_in(
    stand_ins: StandIns,
) -> None:
    async with httpx.AsyncClient(base_url=f"{stand_ins.url}/tvdb/v4") as tvdb:
        assert (await tvdb.get("/search", params={"query": "star trek"})).status_code == 401
        login = (await tvdb.post("/login", json={"apikey": "k"})).json()
        tvdb.headers["authorization"] = f"Bearer {login['data']['token']}"
        asked = {"query": "Star Trek", "type": "series", "year": "1966"}
        (hit,) = (await tvdb.get("/search", params=asked)).json()["data"]
        assert (hit["tvdb_id"], hit["name"]) == ("77526", "Star Trek")
        assert (await tvdb.get("/search", params=asked | {"type": "movie"})).json()["data"] == []
        one = (await tvdb.get("/series/77526/extended")).json()["data"]
        assert one["overview"] == hit["overview"] != ""
        assert (await tvdb.get("/series/1")).status_code == 404


async def test_an_encyclopedia_tells_about_characters(stand_ins: StandIns) -> None:
    async with httpx.AsyncClient(base_url=f"{stand_ins.url}/wikipedia") as wiki:
        summary = (await wiki.get("/api/rest_v1/page/summary/Luke_Skywalker")).json()
        assert (summary["type"], summary["title"]) == ("standard", "Luke Skywalker")
        vague = (await wiki.get("/api/rest_v1/page/summary/Neo")).json()
        assert vague["type"] == "disambiguation"
        assert (await wiki.get("/api/rest_v1/page/summary/Nobody")).status_code == 404
        found = (await wiki.get("/w/rest.php/v1/search/page", params={"q": "neo matrix"})).json()
        assert found["pages"][0]["title"] == "Neo (The Matrix)"
        asked = {"action": "query", "list": "search", "srsearch": "spock", "format": "json"}
        hits = (await wiki.get("/w/api.php", params=asked)).json()["query"]["search"]
        assert hits[0]["title"] == "Spock"
        texts = {"action": "query", "prop": "extracts", "titles": "Spock|Nobody", "format": "json"}
        pages = (await wiki.get("/w/api.php", params=texts)).json()["query"]["pages"]
        assert [("extract" in page) for page in pages.values()] == [True, False]
        nameless = await wiki.get("/w/api.php", params=asked, headers={"user-agent": ""})
        assert nameless.status_code == 403


def test_blobs_are_put_read_listed_and_deleted(stand_ins: StandIns) -> None:
    with BlobServiceClient(f"{stand_ins.url}/blob/{ACCOUNT}", credential=CREDENTIAL) as service:
        container = service.create_container("media")
        with pytest.raises(ResourceExistsError):
            service.create_container("media")
        blob = container.get_blob_client("a/one file.png")
        settings = ContentSettings(content_type="image/png", cache_control="max-age=60")
        blob.upload_blob(b"0123456789", content_settings=settings, metadata={"owner": "u1"})
        with pytest.raises(ResourceExistsError):
            blob.upload_blob(b"other")
        blob.upload_blob(b"abcdefghij", overwrite=True, content_settings=settings)
        assert blob.download_blob().readall() == b"abcdefghij"
        assert blob.download_blob(offset=2, length=3).readall() == b"cde"
        about = blob.get_blob_properties()
        assert (about.size, about.content_settings.content_type) == (10, "image/png")
        container.upload_blob("b/two", b"2", metadata={"owner": "u2"})
        assert container.get_blob_client("b/two").get_blob_properties().metadata == {"owner": "u2"}
        pages = container.list_blobs(results_per_page=1)
        assert [one.name for one in pages] == ["a/one file.png", "b/two"]
        assert [one.name for one in container.list_blobs("b/")] == ["b/two"]
        blob.delete_blob()
        assert not blob.exists()
        with pytest.raises(ResourceNotFoundError):
            blob.download_blob()


def test_large_blobs_come_in_blocks(stand_ins: StandIns) -> None:
    url = f"{stand_ins.url}/blob/{ACCOUNT}"
    with BlobServiceClient(
        url, credential=CREDENTIAL, max_single_put_size=1024, max_block_size=1000
    ) as service:
        container = service.create_container("media")
        data = bytes(range(256)) * 20
        container.upload_blob("large", data)
        assert container.download_blob("large").readall() == data


def test_blobs_need_a_key(stand_ins: StandIns) -> None:
    with (
        BlobServiceClient(f"{stand_ins.url}/blob/{ACCOUNT}") as service,
        pytest.raises(HttpResponseError) as caught,
    ):
        service.create_container("media")
    assert caught.value.status_code == 401
