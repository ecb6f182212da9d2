"""Stand-in of Supabase Auth's HTTP API under `/auth/v1`; `supabase` clients reach it by their URL.

Any key opens it. Admin calls need a key that does not belong to a person.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from migrate.stack.stand_ins.supabase_codes import SupabaseCodes
from migrate.stack.stand_ins.supabase_users import AuthCallError, SupabaseUsers

Json = dict[str, Any]


def supabase_app(users: SupabaseUsers, codes: SupabaseCodes) -> FastAPI:
    """Key set, sign-up, tokens, codes, other providers, user, logout and the admin's users."""
    app = FastAPI(title="Stand-in of Supabase Auth", openapi_url=None)

    @app.exception_handler(AuthCallError)
    async def refuse(_request: Request, error: AuthCallError) -> Response:
        content = {"code": error.status, "error_code": error.code, "msg": str(error)}
        return JSONResponse(content, error.status, {"x-supabase-api-version": "2024-01-01"})

    _add_sessions(app, users, codes)
    _add_codes(app, users, codes)
    _add_people(app, users)
    return app


def _add_sessions(app: FastAPI, users: SupabaseUsers, codes: SupabaseCodes) -> None:
    @app.get("/auth/v1/.well-known/jwks.json")
    async def key_set() -> Json:
        return users.key_set()

    @app.get("/auth/v1/health")
    async def health() -> Json:
        return {"name": "GoTrue", "version": "stand-in", "description": "stand-in"}

    @app.post("/auth/v1/signup")
    async def sign_up(request: Request) -> Json:
        body = await _body(request)
        email, password = str(body.get("email", "")), str(body.get("password", ""))
        user = users.sign_up(email, password, body.get("data") or {}, {})
        if user["email_confirmed_at"] is not None:
            return users.session(user)
        codes.send_to_known(email)
        return user

    @app.post("/auth/v1/token")
    async def token(request: Request, grant_type: str) -> Json:
        body = await _body(request)
        if grant_type == "password":
            email, password = str(body.get("email", "")), str(body.get("password", ""))
            return users.session(users.sign_in(email, password))
        if grant_type == "refresh_token":
            return users.refreshed(str(body.get("refresh_token", "")))
        if grant_type == "id_token":
            provider, id_token = str(body.get("provider", "")), str(body.get("id_token", ""))
            return users.session(codes.by_id_token(provider, id_token, body.get("nonce")))
        if grant_type == "pkce":
            code, verifier = str(body.get("auth_code", "")), str(body.get("code_verifier", ""))
            return users.session(codes.exchange(code, verifier))
        raise AuthCallError(400, "validation_failed", "unsupported_grant_type")

    @app.post("/auth/v1/logout")
    async def logout(request: Request) -> Response:
        users.end_session(users.holder(_bearer(request))[1])
        return Response(status_code=204)


def _add_codes(app: FastAPI, users: SupabaseUsers, codes: SupabaseCodes) -> None:
    @app.post("/auth/v1/otp")
    async def otp(request: Request) -> Json:
        body = await _body(request)
        create = body.get("create_user", True) is True
        codes.send(_email(body), create=create, metadata=body.get("data") or {})
        return {}

    @app.post("/auth/v1/resend")
    @app.post("/auth/v1/recover")
    async def send_again(request: Request) -> Json:
        codes.send_to_known(_email(await _body(request)))
        return {}

    @app.post("/auth/v1/verify")
    async def verify(request: Request) -> Json:
        body = await _body(request)
        return users.session(codes.verify(_email(body), str(body.get("token", ""))))

    @app.get("/auth/v1/authorize")
    async def authorize(request: Request) -> Response:
        callback = f"{users.issuer}/callback"
        return RedirectResponse(codes.start(request.query_params, callback), 302)

    @app.get("/auth/v1/callback")
    async def callback(state: str, code: str) -> Response:
        return RedirectResponse(codes.finish(state, code), 302)


def _add_people(app: FastAPI, users: SupabaseUsers) -> None:
    @app.get("/auth/v1/user")
    async def user(request: Request) -> Json:
        return users.holder(_bearer(request))[0]

    @app.put("/auth/v1/user")
    async def update(request: Request) -> Json:
        return users.update(users.holder(_bearer(request))[0], await _own_changes(request))

    @app.get("/auth/v1/admin/users")
    async def listing(request: Request) -> Json:
        _require_admin(request)
        return {"users": users.listing(), "aud": "authenticated"}

    @app.post("/auth/v1/admin/users")
    async def create(request: Request) -> Json:
        _require_admin(request)
        body = await _body(request)
        email, password = str(body.get("email", "")), str(body.get("password", ""))
        metadata, app_metadata = body.get("user_metadata") or {}, body.get("app_metadata") or {}
        is_confirmed = body.get("email_confirm") is True
        if "password" not in body and users.by_email(email) is None:
            return users.add(
                email, metadata=metadata, app_metadata=app_metadata, is_confirmed=is_confirmed
            )
        return users.sign_up(email, password, metadata, app_metadata, is_confirmed=is_confirmed)

    @app.get("/auth/v1/admin/users/{user_id}")
    async def read(request: Request, user_id: str) -> Json:
        _require_admin(request)
        return users.user(user_id)

    @app.put("/auth/v1/admin/users/{user_id}")
    async def change(request: Request, user_id: str) -> Json:
        _require_admin(request)
        return users.update(users.user(user_id), await _body(request))

    @app.delete("/auth/v1/admin/users/{user_id}")
    async def delete(request: Request, user_id: str) -> Json:
        _require_admin(request)
        return users.delete(user_id)


async def _body(request: Request) -> Json:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AuthCallError(400, "bad_json", "Could not parse request body as JSON")
    return body


def _email(body: Json) -> str:
    email = body.get("email")
    if not isinstance(email, str) or "@" not in email:
        raise AuthCallError(400, "validation_failed", "Unable to validate email address")
    return email


async def _own_changes(request: Request) -> Json:
    """What people may change of themselves: never `app_metadata`."""
    body = await _body(request)
    return {name: value for name, value in body.items() if name in ("email", "password", "data")}


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthCallError(401, "no_authorization", "This endpoint requires a Bearer token")
    return token


def _require_admin(request: Request) -> None:
    """A secret key, or a legacy key that is no token of a person here."""
    key = _bearer(request)
    if key.startswith("sb_publishable_") or "anon" in key:
        raise AuthCallError(403, "not_admin", "User not allowed")
