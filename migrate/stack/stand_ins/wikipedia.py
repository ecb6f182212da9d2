"""Stand-in of Wikipedia's read API over a few pages about the titles of the other stand-ins.

Page summaries (`/api/rest_v1`), page search (`/w/rest.php`) and the query module of `/w/api.php`, as
https://www.mediawiki.org/wiki/API has them. Texts are our own words.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

Json = dict[str, Any]
_PAGES = Path(__file__).with_name("wikipedia_pages.json")


def wikipedia_app() -> FastAPI:
    """Any title and any language; requests without a User-Agent are refused as there."""
    pages: list[Json] = json.loads(_PAGES.read_text("utf-8"))
    by_title = {page["title"].casefold(): page for page in pages}
    app = FastAPI(title="Stand-in of Wikipedia", openapi_url=None)

    @app.get("/api/rest_v1/page/summary/{title:path}")
    async def summary(request: Request, title: str) -> Response:
        if (refused := _refusal(request)) is not None:
            return refused
        page = by_title.get(title.replace("_", " ").casefold())
        if page is None:
            return JSONResponse({"status": 404, "type": "Internal error"}, 404)
        return JSONResponse(_summary(page))

    @app.get("/w/rest.php/v1/search/page")
    async def search(request: Request, q: str = "", limit: int = 50) -> Response:
        found = [_hit(page) for page in _matching(pages, q)[:limit]]
        return _refusal(request) or JSONResponse({"pages": found})

    @app.get("/w/api.php")
    async def query(request: Request) -> Response:
        asked = request.query_params
        if (refused := _refusal(request)) is not None:
            return refused
        if asked.get("action") == "opensearch":
            titles = [page["title"] for page in _matching(pages, asked.get("search", ""))]
            return JSONResponse([asked.get("search", ""), titles, ["" for _ in titles], []])
        if asked.get("list") == "search":
            rows = _matching(pages, asked.get("srsearch", ""))
            hits = [{"ns": 0, **_named(page), "snippet": page["description"]} for page in rows]
            return JSONResponse({"batchcomplete": "", "query": {"search": hits}})
        return JSONResponse({"batchcomplete": "", "query": {"pages": _extracts(by_title, asked)}})

    return app


def _refusal(request: Request) -> Response | None:
    if request.headers.get("user-agent"):
        return None
    return Response("Please set a user-agent and respect our robot policy", 403)


def _matching(pages: list[Json], words: str) -> list[Json]:
    """Pages whose title holds every word, then those whose text does."""
    wanted = words.casefold().split()
    if not wanted:
        return []
    in_title = [page for page in pages if all(word in page["title"].casefold() for word in wanted)]
    in_text = [
        page
        for page in pages
        if page not in in_title
        and all(word in f"{page['title']} {page['extract']}".casefold() for word in wanted)
    ]
    return in_title + in_text


def _named(page: Json) -> Json:
    return {"title": page["title"], "pageid": page["pageid"]}


def _key(page: Json) -> str:
    return str(page["title"]).replace(" ", "_")


def _summary(page: Json) -> Json:
    address = f"https://en.wikipedia.org/wiki/{_key(page)}"
    return {
        "type": page.get("type", "standard"),
        **_named(page),
        "displaytitle": page["title"],
        "lang": "en",
        "description": page["description"],
        "extract": page["extract"],
        "content_urls": {"desktop": {"page": address}, "mobile": {"page": address}},
    }


def _hit(page: Json) -> Json:
    return {
        "id": page["pageid"],
        "key": _key(page),
        "title": page["title"],
        "excerpt": page["extract"],
        "matched_title": None,
        "description": page["description"],
        "thumbnail": None,
    }


def _extracts(by_title: dict[str, Json], asked: Any) -> Json:
    """`prop=extracts` by titles, keyed by page id; a missing page has a negative one."""
    found: Json = {}
    for number, title in enumerate(asked.get("titles", "").split("|"), start=1):
        page = by_title.get(title.replace("_", " ").casefold())
        if page is None:
            found[str(-number)] = {"ns": 0, "title": title, "missing": ""}
        else:
            found[str(page["pageid"])] = {"ns": 0, **_named(page), "extract": page["extract"]}
    return found
