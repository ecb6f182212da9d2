"""The authentication helper of the first design in miniature, with its faults.

The tests run every check on it as well: a check that passes here proves nothing.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from jose import JWTError, jwt

LIMIT_PER_MINUTE = 3


def first_app(secret: str | None) -> FastAPI:
    """Two routes: who am I, and one for paying users."""
    app = FastAPI()
    seen: dict[str, list[float]] = defaultdict(list)
    app.state.seen = seen

    async def user(authorization: Annotated[str | None, Header()] = None) -> dict[str, Any]:
        if not authorization:
            raise HTTPException(401, "Missing authorization")
        token = authorization.replace("Bearer ", "")
        try:
            claims = jwt.decode(token, secret, algorithms=["HS256"], audience="authenticated")  # type: ignore[arg-type]
        except JWTError as error:
            raise HTTPException(401, f"Invalid token: {error}") from error
        metadata = claims.get("app_metadata", {})
        found = {"user_id": claims.get("sub"), "tier": metadata.get("tier", 0)}
        now = time.time()
        recent = [moment for moment in seen[str(found["user_id"])] if now - moment < 60]
        seen[str(found["user_id"])] = [*recent, now]
        if len(recent) >= LIMIT_PER_MINUTE:
            raise HTTPException(429, "Too many requests")
        return found

    @app.get("/api/auth/users/me")
    async def me(current: Annotated[dict[str, Any], Depends(user)]) -> dict[str, Any]:
        return current

    @app.post("/api/images/generate", status_code=201)
    async def generate(
        current: Annotated[dict[str, Any], Depends(requires_tier(1, user))],
    ) -> dict[str, Any]:
        return current

    return app


def requires_tier(tier: int, user: Callable[..., Any]) -> Callable[..., Any]:
    """Reads the tier from the token."""

    async def check(current: Annotated[dict[str, Any], Depends(user)]) -> dict[str, Any]:
        if current["tier"] < tier:
            raise HTTPException(402, "Upgrade required")
        return current

    return check
