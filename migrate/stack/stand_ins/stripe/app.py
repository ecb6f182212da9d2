"""Stand-in of Stripe's HTTP API; `stripe` clients reach it by `base_addresses={"api": …}`.

A person whose address holds `+declined` cannot pay. The checkout page is real enough for a demo: its
button pays. Knows nothing of the apps that are paid.
"""

from __future__ import annotations

from html import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from migrate.stack.stand_ins.stripe.books import StripeBooks
from migrate.stack.stand_ins.stripe.calls import answer
from migrate.stack.stand_ins.stripe.errors import StripeCallError

#: Resources that can be listed and read: last part of the path → kind of object.
_READABLE = {
    "customers": "customer",
    "subscriptions": "subscription",
    "events": "event",
    "coupons": "coupon",
    "subscription_schedules": "subscription_schedule",
    "checkout/sessions": "checkout.session",
}


def stripe_app(books: StripeBooks) -> FastAPI:
    """The API under `/v1` and the pages under `/checkout` and `/portal`."""
    app = FastAPI(title="Stand-in of Stripe", openapi_url=None)
    _add_customers(app, books)
    _add_subscriptions(app, books)
    for path, kind in _READABLE.items():
        _add_reading(app, books, path, kind)
    _add_pages(app, books)
    return app


def _add_customers(app: FastAPI, books: StripeBooks) -> None:
    @app.post("/v1/customers")
    async def create(request: Request) -> Response:
        return await answer(request, books, books.create_customer)

    @app.post("/v1/customers/{id_}")
    async def update(request: Request, id_: str) -> Response:
        return await answer(request, books, lambda form: books.update_customer(id_, form))

    @app.post("/v1/coupons")
    async def coupon(request: Request) -> Response:
        return await answer(request, books, books.create_coupon)

    @app.post("/v1/checkout/sessions")
    async def checkout(request: Request) -> Response:
        return await answer(request, books, books.create_session)

    @app.post("/v1/checkout/sessions/{id_}/expire")
    async def expire(request: Request, id_: str) -> Response:
        return await answer(request, books, lambda _form: books.expire(id_))

    @app.post("/v1/billing_portal/sessions")
    async def portal(request: Request) -> Response:
        return await answer(request, books, books.create_portal)


def _add_subscriptions(app: FastAPI, books: StripeBooks) -> None:
    @app.post("/v1/subscriptions")
    async def create(request: Request) -> Response:
        return await answer(request, books, books.create_subscription)

    @app.post("/v1/subscriptions/{id_}")
    async def update(request: Request, id_: str) -> Response:
        return await answer(request, books, lambda form: books.update_subscription(id_, form))

    @app.delete("/v1/subscriptions/{id_}")
    async def cancel(request: Request, id_: str) -> Response:
        return await answer(request, books, lambda _form: books.cancel_subscription(id_))

    @app.post("/v1/subscription_schedules")
    async def schedule(request: Request) -> Response:
        return await answer(request, books, books.create_schedule)

    @app.post("/v1/subscription_schedules/{id_}")
    async def reschedule(request: Request, id_: str) -> Response:
        return await answer(request, books, lambda form: books.update_schedule(id_, form))


def _add_reading(app: FastAPI, books: StripeBooks, path: str, kind: str) -> None:
    @app.get(f"/v1/{path}")
    async def page(request: Request) -> Response:
        return await answer(request, books, lambda form: books.page(kind, form, f"/v1/{path}"))

    @app.get(f"/v1/{path}/{{id_}}")
    async def read(request: Request, id_: str) -> Response:
        return await answer(request, books, lambda _form: books.get(kind, id_))


def _add_pages(app: FastAPI, books: StripeBooks) -> None:
    @app.get("/checkout/{id_}")
    async def page(id_: str) -> Response:
        try:
            session = books.get("checkout.session", id_)
        except StripeCallError as refusal:
            return HTMLResponse(_page(str(refusal)), refusal.status)
        return HTMLResponse(_page(f"Checkout {session['status']}", id_))

    @app.post("/checkout/{id_}/pay")
    async def pay(id_: str) -> Response:
        try:
            session = books.pay(id_)
        except StripeCallError as refusal:
            return HTMLResponse(_page(str(refusal), id_), refusal.status)
        target = session["success_url"].replace("{CHECKOUT_SESSION_ID}", id_)
        return RedirectResponse(target, 303)

    @app.get("/portal/{id_}")
    async def portal(id_: str) -> Response:
        return HTMLResponse(_page(f"Billing portal {id_}"))


def _page(text: str, session_id: str | None = None) -> str:
    action = f"/stripe/checkout/{escape(session_id)}/pay" if session_id else ""
    form = f'<form method="post" action="{action}"><button>Pay</button></form>' if action else ""
    return f"<!doctype html><title>Stand-in of Stripe</title><p>{escape(text)}</p>{form}"
