"""Images: uploads, bytes, ranges, generation, analysis."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.support.people import PNG, People, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

UPLOAD = "/api/images/upload"


async def test_an_upload_is_kept_with_its_facts(
    people: People, client: httpx.AsyncClient, media_dir: Path
) -> None:
    ana, ben = await people.new(), await people.new()
    answer = await ana.post(
        UPLOAD, files={"file": ("x.gif", PNG, "image/gif")}, data={"purpose": "avatar"}
    )
    image = answer.json()
    assert answer.status_code == 201
    assert (image["kind"], image["purpose"], image["content_type"]) == (
        "upload",
        "avatar",
        "image/png",
    )
    assert (image["width"], image["height"], image["bytes"]) == (1, 1, len(PNG))
    assert image["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert image["url"] == image["image_url"]
    assert image["url"] == f"https://api.example.com/api/images/{image['id']}/content"
    assert (media_dir / "media" / image["id"]).read_bytes() == PNG
    path = f"/api/images/{image['id']}"
    assert (await ana.get(path)).json() == image
    assert (await ben.get(path)).status_code == 404
    assert (await ben.delete(path)).status_code == 404
    assert (await ana.delete(path)).status_code == 204
    assert not (media_dir / "media" / image["id"]).exists()
    assert (await client.get(f"{path}/content")).status_code == 404


async def test_the_bytes_are_public_cacheable_and_come_in_parts(
    people: People, client: httpx.AsyncClient
) -> None:
    image = await (await people.new()).upload()
    path = f"/api/images/{image['id']}/content"
    whole = await client.get(path)
    assert (whole.content, whole.headers["content-type"]) == (PNG, "image/png")
    assert whole.headers["content-length"] == str(len(PNG))
    assert whole.headers["etag"] == f'"{image["sha256"]}"'
    assert whole.headers["cache-control"] == "public, max-age=3600"
    part = await client.get(path, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, PNG[1:4])
    assert part.headers["content-range"] == f"bytes 1-3/{len(PNG)}"
    beyond = await client.get(path, headers={"Range": "bytes=9999-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(PNG)}"
    changed = await client.get(path, headers={"Range": "bytes=1-3", "If-Range": '"other"'})
    assert changed.status_code == 200
    known = await client.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    head = await client.head(path)
    assert (head.headers["content-length"], head.content) == (str(len(PNG)), b"")


async def test_only_pictures_of_a_bounded_size_are_taken(people: People) -> None:
    ana = await people.new()
    other = await ana.post(UPLOAD, files={"file": ("a.png", b"GIF89a", "image/png")})
    assert (other.status_code, error_code(other)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert other.json()["error"]["details"]["allowed"] == ["image/png", "image/jpeg", "image/webp"]
    for size in (10 * 1024 * 1024 + 1, 11 * 1024 * 1024):
        large = await ana.post(UPLOAD, files={"file": ("a.png", PNG.ljust(size, b"x"))})
        assert (large.status_code, error_code(large)) == (413, "PAYLOAD_TOO_LARGE")
        assert large.json()["error"]["details"] == {"limit_bytes": 10 * 1024 * 1024}
    missing = await ana.post(UPLOAD, files={"image": ("a.png", PNG)})
    assert [f["path"] for f in missing.json()["error"]["details"]["fields"]] == ["form.file"]
    text = await ana.post(UPLOAD, data={"file": "x"}, files={"y": b""})
    assert [f["path"] for f in text.json()["error"]["details"]["fields"]] == ["form.file"]
    purpose = await ana.post(UPLOAD, files={"file": ("a.png", PNG)}, data={"purpose": "x"})
    assert [f["path"] for f in purpose.json()["error"]["details"]["fields"]] == ["form.purpose"]


async def test_own_images_are_listed_newest_first(people: People) -> None:
    ana = await people.new(tier=1)
    made = [(await ana.upload())["id"] for _ in range(3)]
    generated = (await ana.post("/api/images/generate", json={"prompt": "x"})).json()
    page = (await ana.get("/api/images?limit=2")).json()
    rest = (await ana.get(f"/api/images?cursor={page['next_cursor']}")).json()
    assert [i["id"] for i in page["items"] + rest["items"]] == [generated["id"], *made[::-1]]
    kinds = (await ana.get("/api/images?kind=generated")).json()["items"]
    assert [i["id"] for i in kinds] == [generated["id"]]
    assert (await ana.get("/api/images?purpose=story")).json()["items"] == []


async def test_generation_is_paid_and_failures_are_not(
    people: People, database: asyncpg.Connection
) -> None:
    ana = await people.new(tier=1)
    path = "/api/images/generate"
    made = await ana.post(path, json={"prompt": "a cat", "purpose": "story"})
    assert made.status_code == 201
    image = made.json()
    assert (image["kind"], image["prompt"], image["model"]) == ("generated", "a cat", "reference")
    assert image["remaining_quota"] == 4
    for prompt, code in (
        ("[[fail]]", "PROVIDER_ERROR"),
        ("[[timeout]]", "PROVIDER_TIMEOUT"),
        ("[[reject]]", "CONTENT_REJECTED"),
    ):
        assert error_code(await ana.post(path, json={"prompt": prompt})) == code
    assert (await ana.get("/api/payments/quotas")).json()["quota_image_generation"] == 4
    assert await database.fetchval("SELECT count(*) FROM media_metadata") == 1
    for _ in range(4):
        await ana.post(path, json={"prompt": "x"})
    spent = await ana.post(path, json={"prompt": "x"})
    assert error_code(spent) == "INSUFFICIENT_QUOTA"
    assert spent.json()["error"]["details"]["upgrade_to"] == 2


async def test_analysis_takes_a_file_or_an_own_image(people: People) -> None:
    ana, ben = await people.new(tier=1), await people.new(tier=1)
    path = "/api/images/analyze"
    seen = (await ana.post(path, files={"file": ("a.png", PNG)})).json()
    assert seen == {
        "description": f"image/png, {len(PNG)} bytes",
        "labels": [{"name": "reference", "score": 1.0}],
        "media_id": None,
        "model": "reference",
        "remaining_quota": 9,
    }
    image = await ana.upload()
    form = {"media_id": (None, image["id"])}
    assert (await ana.post(path, files=form)).json()["media_id"] == image["id"]
    assert (await ben.post(path, files=form)).status_code == 404
    both = await ana.post(path, files={"file": ("a.png", PNG), **form})
    assert [f["path"] for f in both.json()["error"]["details"]["fields"]] == ["form.file"]
    unknown = {"media_id": (None, "nonsense")}
    answer = await ana.post(path, files=unknown)
    assert [f["path"] for f in answer.json()["error"]["details"]["fields"]] == ["form.media_id"]
    failed = await ana.post(path, files={"file": ("a.png", PNG)}, data={"question": "[[fail]]"})
    assert failed.json()["error"]["details"] == {"provider_kind": "image"}
    assert (await ana.get("/api/payments/quotas")).json()["quota_image_recognition"] == 8


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_image_is_not_found(people: People, method: str) -> None:
    answer = await (await people.new()).send(method, f"/api/images/{uuid.uuid4()}")
    assert (answer.status_code, error_code(answer)) == (404, "NOT_FOUND")
