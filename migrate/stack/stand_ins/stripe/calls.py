"""What holds for every call of Stripe's API: key, request id, idempotency and the shape of errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from fastapi import Request, Response

from migrate.stack.stand_ins.stripe.books import StripeBooks
from migrate.stack.stand_ins.stripe.errors import StripeCallError
from migrate.stack.stand_ins.stripe.forms import Form, parse_form
from migrate.stack.stand_ins.stripe.objects import API_VERSION, Json, new_id


async def answer(request: Request, books: StripeBooks, work: Callable[[Form], Json]) -> Response:
    """Run one call; the same idempotency key gives the stored answer again, errors included."""
    body = (await request.body()).decode()
    text = body if request.method == "POST" else request.url.query
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    request_id = new_id("req")
    headers = {"request-id": request_id, "stripe-version": API_VERSION}
    if key:
        headers["idempotency-key"] = key
    fingerprint = hashlib.sha256(f"{request.url.path}\n{text}".encode()).hexdigest()
    known = books.answers.get(key) if key else None
    if known is not None:
        if known[0] != fingerprint:
            return _answer(*_other_parameters(), headers)
        return _answer(known[1], known[2], headers | {"idempotent-replayed": "true"})
    books.request = {"id": request_id, "idempotency_key": key}
    try:
        _check_key(request)
        status, content = 200, json.dumps(work(parse_form(text))).encode()
    except StripeCallError as refusal:
        status, content = refusal.status, json.dumps({"error": refusal.error}).encode()
    if key and status != 401:
        books.answers[key] = (fingerprint, status, content)
    return _answer(status, content, headers)


def _check_key(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.startswith(("sk_", "rk_")):
        raise StripeCallError(401, "invalid_request_error", "Invalid API Key provided")


def _other_parameters() -> tuple[int, bytes]:
    message = "Keys for idempotent requests can only be used with the same parameters"
    return 400, json.dumps({"error": {"type": "idempotency_error", "message": message}}).encode()


def _answer(status: int, content: bytes, headers: dict[str, str]) -> Response:
    return Response(content, status, headers, media_type="application/json")
