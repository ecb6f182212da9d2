"""Stand-in of The Movie Database's API v3 over a small list of titles (developer.themoviedb.org)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

Json = dict[str, Any]
Kind = Literal["movie", "tv"]
PAGE_ROWS = 20
_TITLES = Path(__file__).with_name("tmdb_titles.json")
#: Fields that only the detail of a title has.
_DETAILS = ("credits", "genres", "external_ids")


def tmdb_app() -> FastAPI:
    """Search, popular, detail and credits under `/3`."""
    titles = load_titles()
    app = FastAPI(title="Stand-in of TMDB", openapi_url=None)

    @app.get("/3/search/{kind}")
    async def search(
        request: Request, kind: Literal["movie", "tv", "multi"], query: str = "", page: int = 1
    ) -> Response:
        words = query.casefold()
        kinds = ("movie", "tv") if kind == "multi" else (kind,)
        found = [
            _row(row) | ({"media_type": one} if kind == "multi" else {})
            for one in kinds
            for row in titles[one]
            if words and words in _name(row).casefold()
        ]
        return _refusal(request) or JSONResponse(_page(found, page))

    @app.get("/3/{kind}/popular")
    async def popular(request: Request, kind: Kind, page: int = 1) -> Response:
        return _refusal(request) or JSONResponse(_page([_row(row) for row in titles[kind]], page))

    @app.get("/3/{kind}/{id_}")
    async def detail(
        request: Request, kind: Kind, id_: int, append_to_response: str = ""
    ) -> Response:
        found = next((row for row in titles[kind] if row["id"] == id_), None)
        if (refused := _refusal(request)) is not None:
            return refused
        if found is None:
            return _missing()
        more = {name: _part(found, name) for name in append_to_response.split(",") if name}
        return JSONResponse(_row(found) | {"genres": found["genres"]} | more)

    @app.get("/3/{kind}/{id_}/{part}")
    async def part(
        request: Request,
        kind: Kind,
        id_: int,
        part: Literal["credits", "aggregate_credits", "external_ids"],
    ) -> Response:
        found = next((row for row in titles[kind] if row["id"] == id_), None)
        if (refused := _refusal(request)) is not None:
            return refused
        return _missing() if found is None else JSONResponse({"id": id_} | _part(found, part))

    return app


def load_titles() -> dict[str, list[Json]]:
    """The small list: `movie` and `tv`, each row as TMDB's detail has it."""
    titles: dict[str, list[Json]] = json.loads(_TITLES.read_text("utf-8"))
    return titles


def _refusal(request: Request) -> Response | None:
    """A v3 key in the query or a v4 token in the header; any will do."""
    authorization = request.headers.get("authorization", "")
    if request.query_params.get("api_key") or authorization.startswith("Bearer "):
        return None
    message = "Invalid API key: You must be granted a valid key."
    return JSONResponse({"status_code": 7, "status_message": message, "success": False}, 401)


def _missing() -> Response:
    message = "The resource you requested could not be found."
    return JSONResponse({"status_code": 34, "status_message": message, "success": False}, 404)


def _name(row: Json) -> str:
    return str(row.get("title") or row.get("name"))


def _row(row: Json) -> Json:
    listed = {name: value for name, value in row.items() if name not in _DETAILS}
    return listed | {"genre_ids": [genre["id"] for genre in row["genres"]]}


def _page(rows: list[Json], page: int) -> Json:
    start = (page - 1) * PAGE_ROWS
    pages = max(1, -(-len(rows) // PAGE_ROWS))
    return {
        "page": page,
        "results": rows[start : start + PAGE_ROWS],
        "total_pages": pages,
        "total_results": len(rows),
    }


def _part(row: Json, name: str) -> Json:
    cast = row["credits"]["cast"]
    if name == "external_ids":
        return dict(row.get("external_ids") or {"imdb_id": None, "tvdb_id": None})
    if name == "credits":
        return {"cast": cast, "crew": []}
    if name == "aggregate_credits":
        rows = [
            {key: value for key, value in one.items() if key != "character"}
            | {"roles": [{"character": one["character"], "episode_count": 10}]}
            for one in cast
        ]
        return {"cast": rows, "crew": []}
    return {}
