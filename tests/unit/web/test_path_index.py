"""Paths: exact before pattern, aliases, allowed methods, relative redirects."""

from typing import Annotated

import pytest
from fastapi import Depends

from shared.contract.routes import PublicRoute, parse_routes, public_routes
from shared.settings import AppSettings
from shared.web.app import create_service_app
from shared.web.endpoints import EndpointError, ServiceRouter
from shared.web.path_index import PathIndex, relative_location


@pytest.fixture(scope="module")
def index() -> PathIndex:
    routes = public_routes()
    return PathIndex(routes.values(), internal=("/healthz",), aliases=routes.aliases)


@pytest.mark.parametrize("route", public_routes().values(), ids=lambda route: route.name)
def test_every_route_of_the_contract_is_found_by_its_path(
    index: PathIndex, route: PublicRoute
) -> None:
    path = "/".join("x-1" if part.startswith("{") else part for part in route.path.split("/"))
    entry = index.find(path)
    assert entry is not None
    assert entry.routes[route.method] == route


def test_an_exact_path_wins_over_a_pattern(index: PathIndex) -> None:
    entry = index.find("/api/images/generate")
    assert entry is not None
    assert set(entry.routes) == {"POST"}
    other = index.find("/api/images/generated")
    assert other is not None
    assert set(other.routes) == {"GET", "DELETE"}


@pytest.mark.parametrize(
    "path", ["", "/", "/api", "/api/search/", "/api/images/a/b", "/api/search\n", "/x/api/search"]
)
def test_other_paths_are_unknown(index: PathIndex, path: str) -> None:
    assert index.find(path) is None


def test_head_comes_with_get_and_options_always(index: PathIndex) -> None:
    entry = index.find("/api/images/x")
    assert entry is not None
    assert entry.allowed == ("DELETE", "GET", "HEAD", "OPTIONS")
    post = index.find("/api/chat/talk_with")
    assert post is not None
    assert post.allowed == ("OPTIONS", "POST")


def test_internal_paths_belong_to_no_domain(index: PathIndex) -> None:
    entry = index.find("/healthz")
    assert entry is not None
    assert entry.domain is None


def test_an_alias_replaces_the_prefix_once(index: PathIndex) -> None:
    assert index.canonical("/api/image/generate") == "/api/images/generate"
    assert index.canonical("/api/image/image/x") == "/api/images/image/x"
    assert index.canonical("/api/images/x") == "/api/images/x"
    assert index.canonical("/api/image") == "/api/image"


@pytest.mark.parametrize(
    ("raw", "query", "location"),
    [
        (b"/api/x/", b"", "/api/x"),
        (b"/api/x///", b"", "/api/x"),
        (b"/api/x/", b"a=1&b=%20", "/api/x?a=1&b=%20"),
        (b"/\\evil/", b"", "/%5Cevil"),
        (b"//evil/", b"", None),
        (b"/", b"", None),
        (b"/x%2F", b"", None),
        (b"/\xc3\xa9/", b"", "/%C3%83%C2%A9"),
    ],
)
def test_a_redirect_is_a_path_on_this_host(raw: bytes, query: bytes, location: str | None) -> None:
    assert relative_location(raw, query) == location


def test_a_route_declared_wrongly_is_refused_at_import() -> None:
    router = ServiceRouter()
    with pytest.raises(EndpointError, match=r"no route 'content\.nothing'"):
        router.endpoint("content.nothing")(_endpoint)
    with pytest.raises(EndpointError, match="async def"):
        router.endpoint("content.search")(lambda: None)  # type: ignore[arg-type,return-value]
    router.endpoint("content.search")(_endpoint)
    with pytest.raises(EndpointError, match="two endpoints"):
        router.endpoint("content.search")(_endpoint)
    with pytest.raises(EndpointError, match="WebSocket"):
        router.endpoint("community.room_ws")(_endpoint)
    with pytest.raises(EndpointError, match="no WebSocket"):
        router.socket("content.movie")(_endpoint)


async def _endpoint() -> None: ...


def test_a_dependency_that_would_run_in_a_thread_is_refused() -> None:
    def plain() -> int:
        return 1

    async def outer(inner: Annotated[int, Depends(plain)]) -> int:
        return inner

    router = ServiceRouter()

    async def search(value: Annotated[int, Depends(outer)]) -> None: ...

    router.endpoint("content.search")(search)
    settings = AppSettings(
        shared_database_url="postgresql://h/d",
        redis_url="redis://h",
        rabbitmq_url="amqp://h",
        jwt_secrets=("a" * 40,),
    )
    with pytest.raises(EndpointError, match=r"plain of content\.search must be `async def`"):
        create_service_app("x", settings=settings, routers=[router])


def test_a_contract_with_a_route_twice_is_refused() -> None:
    row = {
        "name": "a.b", "method": "GET", "path": "/a", "service": "a", "kind": "read",
        "shadow": False, "auth": "public", "idempotency": "safe", "success": 200, "bucket": "none",
    }  # fmt: skip
    with pytest.raises(ValueError, match="twice"):
        parse_routes({"route": [row, row]})
    with pytest.raises(TypeError):
        parse_routes({"route": [row | {"unknown": 1}]})
