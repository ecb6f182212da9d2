"""Stand-in of the part of Azure Blob Storage's REST API that block blobs need, path style with the account.

`azure-storage-blob` clients reach it by `account_url=…/blob/<account>`. A SharedKey or SAS must be there;
its signature is not checked, only that a SAS has not expired (learn.microsoft.com/rest/api/storageservices).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from xml.sax.saxutils import escape, quoteattr

from fastapi import FastAPI, Request, Response

VERSION = "2026-02-06"
PAGE_MAX = 5000
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_LATEST = re.compile(rb"<(?:Latest|Uncommitted|Committed)>([^<]+)<")


@dataclass(frozen=True, slots=True)
class Blob:
    """A block blob as it is; a new one for every write."""

    data: bytes
    content_type: str
    metadata: dict[str, str]
    modified: datetime
    etag: str
    created: datetime
    settings: dict[str, str] = field(default_factory=dict)


class BlobCallError(Exception):
    """A refusal by Azure's error code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class BlobStore:
    """Containers by (account, name), blobs by name, blocks that wait for their list."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._containers: dict[tuple[str, str], dict[str, Blob]] = {}
        self._blocks: dict[tuple[str, str, str], dict[str, bytes]] = {}

    def create(self, account: str, container: str) -> None:
        if (account, container) in self._containers:
            raise BlobCallError(409, "ContainerAlreadyExists")
        self._containers[account, container] = {}

    def drop(self, account: str, container: str) -> None:
        self.blobs(account, container)
        del self._containers[account, container]

    def blobs(self, account: str, container: str) -> dict[str, Blob]:
        found = self._containers.get((account, container))
        if found is None:
            raise BlobCallError(404, "ContainerNotFound")
        return found

    def blob(self, account: str, container: str, name: str) -> Blob:
        found = self.blobs(account, container).get(name)
        if found is None:
            raise BlobCallError(404, "BlobNotFound")
        return found

    def stage(self, account: str, container: str, name: str, block: str, data: bytes) -> None:
        self.blobs(account, container)
        self._blocks.setdefault((account, container, name), {})[block] = data

    def staged(self, account: str, container: str, name: str, ids: list[str]) -> bytes:
        """The blocks of a list, joined; they are used up."""
        blocks = self._blocks.pop((account, container, name), {})
        if any(one not in blocks for one in ids):
            raise BlobCallError(400, "InvalidBlockList")
        return b"".join(blocks[one] for one in ids)


def blob_app(store: BlobStore) -> FastAPI:
    """`/{account}/{container}` and `/{account}/{container}/{blob}`."""
    app = FastAPI(title="Stand-in of Azure Blob Storage", openapi_url=None)

    @app.exception_handler(BlobCallError)
    async def refuse(request: Request, error: BlobCallError) -> Response:
        text = f"<Error><Code>{error.code}</Code><Message>{error.code}</Message></Error>"
        body = "" if request.method == "HEAD" else '<?xml version="1.0" encoding="utf-8"?>' + text
        headers = _headers() | {"x-ms-error-code": error.code}
        return Response(body, error.status, headers, media_type="application/xml")

    @app.api_route("/{account}/{container}", methods=["PUT", "GET", "HEAD", "DELETE"])
    async def container_call(request: Request, account: str, container: str) -> Response:
        _authorize(request)
        if request.query_params.get("comp") == "list":
            return _listing(request, container, store.blobs(account, container))
        match request.method:
            case "PUT":
                store.create(account, container)
                return Response(status_code=201, headers=_headers() | _stamp(datetime.now(UTC)))
            case "DELETE":
                store.drop(account, container)
                return Response(status_code=202, headers=_headers())
        store.blobs(account, container)
        return Response(status_code=200, headers=_headers() | _stamp(datetime.now(UTC)))

    @app.api_route("/{account}/{container}/{name:path}", methods=["PUT", "GET", "HEAD", "DELETE"])
    async def blob_call(request: Request, account: str, container: str, name: str) -> Response:
        _authorize(request)
        if request.method == "PUT":
            return await _put(request, store, account, container, name)
        blob = store.blob(account, container, name)
        _check_conditions(request, blob)
        if request.method == "DELETE":
            del store.blobs(account, container)[name]
            return Response(status_code=202, headers=_headers())
        return _content(request, blob)

    return app


def _authorize(request: Request) -> None:
    signature, expires = request.query_params.get("sig"), request.query_params.get("se")
    if signature and expires:
        if datetime.fromisoformat(expires) < datetime.now(UTC):
            raise BlobCallError(403, "AuthenticationFailed")
    elif not request.headers.get("authorization", "").startswith(("SharedKey ", "Bearer ")):
        raise BlobCallError(401, "NoAuthenticationInformation")


async def _put(
    request: Request, store: BlobStore, account: str, container: str, name: str
) -> Response:
    data, comp = await request.body(), request.query_params.get("comp")
    blobs = store.blobs(account, container)
    if comp == "block":
        store.stage(account, container, name, request.query_params["blockid"], data)
        return Response(status_code=201, headers=_headers() | {"content-md5": _md5(data)})
    old = blobs.get(name)
    if comp == "metadata":
        made = replace(store.blob(account, container, name), metadata=_metadata(request))
        blobs[name] = made = replace(made, modified=datetime.now(UTC), etag=_etag())
        return Response(status_code=200, headers=_headers() | _stamp(made.modified, made.etag))
    if old is not None and request.headers.get("if-none-match") == "*":
        raise BlobCallError(409, "BlobAlreadyExists")
    if old is not None:
        _check_conditions(request, old)
    if comp == "blocklist":
        ids = [one.decode() for one in _LATEST.findall(data)]
        data = store.staged(account, container, name, ids)
    elif request.headers.get("x-ms-blob-type") != "BlockBlob":
        raise BlobCallError(400, "InvalidHeaderValue")
    made = blobs[name] = _made(request, data, old, is_list=comp == "blocklist")
    headers = _headers() | _stamp(made.modified, made.etag) | {"content-md5": _md5(data)}
    return Response(status_code=201, headers=headers)


def _made(request: Request, data: bytes, old: Blob | None, *, is_list: bool) -> Blob:
    now = datetime.now(UTC)
    kind = request.headers.get("x-ms-blob-content-type")
    if kind is None and not is_list:
        kind = request.headers.get("content-type")
    names = ("cache-control", "content-disposition", "content-encoding", "content-language")
    given = {name: request.headers.get(f"x-ms-blob-{name}") for name in names}
    return Blob(
        data,
        kind or "application/octet-stream",
        _metadata(request),
        now,
        _etag(),
        old.created if old else now,
        {name: value for name, value in given.items() if value},
    )


def _content(request: Request, blob: Blob) -> Response:
    headers = _headers() | _stamp(blob.modified, blob.etag) | blob.settings
    headers |= {f"x-ms-meta-{name}": value for name, value in blob.metadata.items()}
    headers |= {
        "accept-ranges": "bytes",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-creation-time": format_datetime(blob.created, usegmt=True),
        "x-ms-lease-state": "available",
        "x-ms-lease-status": "unlocked",
        "x-ms-server-encrypted": "true",
    }
    wanted = request.headers.get("x-ms-range") or request.headers.get("range")
    found = _RANGE.match(wanted or "")
    size = len(blob.data)
    if found is None or request.method == "HEAD":
        headers |= {"content-length": str(size), "content-md5": _md5(blob.data)}
        body = b"" if request.method == "HEAD" else blob.data
        return Response(body, 200, headers, blob.content_type)
    start, end = int(found[1]), min(int(found[2] or size - 1), size - 1)
    if start >= size:
        raise BlobCallError(416, "InvalidRange")
    headers["content-range"] = f"bytes {start}-{end}/{size}"
    headers["x-ms-blob-content-md5"] = _md5(blob.data)
    return Response(blob.data[start : end + 1], 206, headers, blob.content_type)


def _check_conditions(request: Request, blob: Blob) -> None:
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    since = request.headers.get("if-unmodified-since")
    if match not in (None, "*", blob.etag):
        raise BlobCallError(412, "ConditionNotMet")
    if since and blob.modified.replace(microsecond=0) > parsedate_to_datetime(since):
        raise BlobCallError(412, "ConditionNotMet")
    if none_match == blob.etag:
        raise BlobCallError(304 if request.method in ("GET", "HEAD") else 412, "ConditionNotMet")


def _listing(request: Request, container: str, blobs: dict[str, Blob]) -> Response:
    query = request.query_params
    prefix, marker = query.get("prefix", ""), query.get("marker", "")
    limit = min(int(query.get("maxresults", PAGE_MAX)), PAGE_MAX)
    names = sorted(name for name in blobs if name.startswith(prefix) and name >= marker)
    rows = "".join(_listed(name, blobs[name]) for name in names[:limit])
    following = escape(names[limit]) if len(names) > limit else ""
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName='
        f"{quoteattr(container)}><Prefix>{escape(prefix)}</Prefix><Blobs>{rows}</Blobs>"
        f"<NextMarker>{following}</NextMarker></EnumerationResults>"
    )
    return Response(text, 200, _headers(), "application/xml")


def _listed(name: str, blob: Blob) -> str:
    return (
        f"<Blob><Name>{escape(name)}</Name><Properties>"
        f"<Creation-Time>{format_datetime(blob.created, usegmt=True)}</Creation-Time>"
        f"<Last-Modified>{format_datetime(blob.modified, usegmt=True)}</Last-Modified>"
        f"<Etag>{escape(blob.etag)}</Etag><Content-Length>{len(blob.data)}</Content-Length>"
        f"<Content-Type>{escape(blob.content_type)}</Content-Type>"
        f"<BlobType>BlockBlob</BlobType></Properties></Blob>"
    )


def _metadata(request: Request) -> dict[str, str]:
    start = "x-ms-meta-"
    return {
        name.removeprefix(start): value
        for name, value in request.headers.items()
        if name.startswith(start)
    }


def _headers() -> dict[str, str]:
    return {"x-ms-request-id": secrets.token_hex(16), "x-ms-version": VERSION}


def _stamp(modified: datetime, etag: str | None = None) -> dict[str, str]:
    return {"last-modified": format_datetime(modified, usegmt=True), "etag": etag or _etag()}


def _etag() -> str:
    return f'"0x{secrets.token_hex(8).upper()}"'


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
