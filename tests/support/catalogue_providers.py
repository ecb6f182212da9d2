"""Stand-ins of TMDB and TheTVDB: the same paths and shapes, over HTTP on a local port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TMDB_KEY, TVDB_KEY = "tmdb-key", "tvdb-key"


class Providers:
    """What they know, and which requests came."""

    def __init__(self) -> None:
        self.movies: dict[int, dict[str, Any]] = {}
        self.series: dict[int, dict[str, Any]] = {}
        self.tvdb: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.failures: list[int] = []  # statuses of the next answers of TMDB
        self.url = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/3/{kind:str}/popular", self._popular),
                Route("/3/{kind:str}/{id:int}", self._detail),
                Route("/v4/login", self._login, methods=["POST"]),
                Route("/v4/search", self._search),
            ]
        )

    def _known(self, request: Request) -> dict[int, dict[str, Any]]:
        return self.movies if request.path_params["kind"] == "movie" else self.series

    def _refusal(self, request: Request) -> Response | None:
        self.requests.append(request.url.path)
        if self.failures:
            status = self.failures.pop(0)
            return JSONResponse({}, status_code=status, headers={"Retry-After": "0"})
        if request.query_params.get("api_key") != TMDB_KEY:
            return JSONResponse({"status_code": 7}, status_code=401)
        return None

    async def _popular(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        ids = list(self._known(request)) if request.query_params["page"] == "1" else []
        return JSONResponse({"page": 1, "results": [{"id": id_} for id_ in ids]})

    async def _detail(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        found = self._known(request).get(request.path_params["id"])
        return JSONResponse(found or {}, status_code=200 if found else 404)

    async def _login(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        if (await request.json()).get("apikey") != TVDB_KEY:
            return JSONResponse({"status": "failure"}, status_code=401)
        return JSONResponse({"status": "success", "data": {"token": "tvdb-token"}})

    async def _search(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        if request.headers.get("authorization") != "Bearer tvdb-token":
            return JSONResponse({}, status_code=401)
        name = request.query_params["query"]
        return JSONResponse({"data": [row for row in self.tvdb if row["name"] == name]})


@asynccontextmanager
async def serving(providers: Providers) -> AsyncIterator[Providers]:
    """The stand-ins on a free port; `providers.url` is their address."""
    config = uvicorn.Config(providers.app(), port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    providers.url = f"http://127.0.0.1:{port}"
    try:
        yield providers
    finally:
        server.should_exit = True
        await task


def movie(id_: int, title: str, year: int, **changes: Any) -> dict[str, Any]:
    """A TMDB movie with its credits."""
    return {
        "id": id_,
        "title": title,
        "release_date": f"{year}-03-31",
        "overview": f"About {title}.",
        "poster_path": f"/{id_}.jpg",
        "original_language": "en",
        "genres": [{"id": 28, "name": "Action"}, {"id": 878, "name": "Science Fiction"}],
        "vote_count": 9999,
        "credits": {"cast": [person(6384, "Keanu Reeves", "Neo", 0)]},
    } | changes


def series(id_: int, name: str, year: int, **changes: Any) -> dict[str, Any]:
    """A TMDB series with its aggregate credits and external ids."""
    roles = [{"character": "Usagi Tsukino", "episode_count": 200}]
    cast = [{"id": 9705, "name": "Kotono Mitsuishi", "profile_path": None, "roles": roles}]
    return {
        "id": id_,
        "name": name,
        "first_air_date": f"{year}-01-01",
        "overview": "",
        "poster_path": None,
        "original_language": "ja",
        "genres": [{"id": 16, "name": "Animation"}, {"id": 10765, "name": "Sci-Fi & Fantasy"}],
        "vote_count": 99,
        "aggregate_credits": {"cast": cast},
        "external_ids": {"tvdb_id": None},
    } | changes


def person(id_: int, name: str, character: str, order: int) -> dict[str, Any]:
    """A row of a TMDB cast."""
    return {
        "id": id_,
        "name": name,
        "character": character,
        "order": order,
        "profile_path": f"/p{id_}.jpg",
    }
