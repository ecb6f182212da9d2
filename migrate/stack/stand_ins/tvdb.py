"""Stand-in of TheTVDB's API v4: sign-in, search and series (thetvdb.github.io/v4-api)."""

from __future__ import annotations

import json
import secrets
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from migrate.stack.stand_ins.tmdb import load_titles

Json = dict[str, Any]


def tvdb_app() -> FastAPI:
    """The series of the small list that TheTVDB has a number for."""
    series = [row for row in load_titles()["tv"] if (row.get("external_ids") or {}).get("tvdb_id")]
    tokens: set[str] = set()
    app = FastAPI(title="Stand-in of TheTVDB", openapi_url=None)

    def refused(request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token in tokens:
            return None
        return JSONResponse({"status": "failure", "message": "Unauthorized"}, 401)

    @app.post("/v4/login")
    async def login(request: Request) -> Response:
        try:
            key = json.loads(await request.body()).get("apikey")
        except (ValueError, AttributeError):
            key = None
        if not key:
            return JSONResponse({"status": "failure", "message": "InvalidAPIKey"}, 401)
        tokens.add(token := secrets.token_urlsafe(24))
        return JSONResponse({"status": "success", "data": {"token": token}})

    @app.get("/v4/search")
    async def search(request: Request, query: str = "", year: str | None = None) -> Response:
        words = query.casefold()
        found = [
            _hit(row)
            for row in series
            if words in row["name"].casefold() and (not year or row["first_air_date"][:4] == year)
        ]
        hits = found if request.query_params.get("type", "series") == "series" else []
        return refused(request) or JSONResponse({"status": "success", "data": hits})

    @app.get("/v4/series/{id_}")
    @app.get("/v4/series/{id_}/extended")
    async def one(request: Request, id_: int) -> Response:
        row = next((row for row in series if row["external_ids"]["tvdb_id"] == id_), None)
        if (answer := refused(request)) is not None:
            return answer
        if row is None:
            return JSONResponse({"status": "failure", "message": "Not Found", "data": None}, 404)
        about = {"id": id_, "name": row["name"], "overview": row["overview"], "image": None}
        return JSONResponse({"status": "success", "data": about})

    return app


def _hit(row: Json) -> Json:
    number = row["external_ids"]["tvdb_id"]
    return {
        "objectID": f"series-{number}",
        "tvdb_id": str(number),
        "id": f"series-{number}",
        "name": row["name"],
        "type": "series",
        "year": row["first_air_date"][:4],
        "overview": row["overview"],
        "image_url": None,
    }
