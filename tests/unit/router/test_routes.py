"""The compiled route table: which request reaches which route."""

from __future__ import annotations

import pytest

from shared.manifest import ManifestError, load_manifest, parse_manifest
from shared.routing.from_manifest import route_table
from shared.routing.routes import Alias, RouteConflictError, RouteSpec, RouteTable


def spec(name: str, method: str, path: str, **more: object) -> RouteSpec:
    return RouteSpec(name, "chat", method, path, **more)  # type: ignore[arg-type]


def test_fixed_segments_win_over_parameters_and_parameters_over_prefixes() -> None:
    table = RouteTable(
        [
            spec("prefix", "GET", "/api/*"),
            spec("parameter", "GET", "/api/{name}"),
            spec("fixed", "GET", "/api/me"),
            spec("deep", "GET", "/api/{name}/items/{id}"),
        ]
    )

    def name(path: str) -> str | None:
        match = table.match("GET", path)
        return match.route.name if match else None

    assert name("/api/me") == "fixed"
    assert name("/api/you") == "parameter"
    assert name("/api/you/items/7") == "deep"
    assert name("/api/you/other/7") == "prefix"
    assert name("/api/me/items/7") == "deep"
    assert name("/api") is None
    assert name("/other") is None


def test_parameters_and_the_rest_of_a_prefix_are_given_by_name() -> None:
    table = RouteTable([spec("a", "GET", "/api/{x}/b/{y}"), spec("p", "GET", "/files/{z}/*")])
    match = table.match("GET", "/api/1/b/2")
    assert match is not None
    assert dict(match.parameters) == {"x": "1", "y": "2"}
    rest = table.match("GET", "/files/q/r/s")
    assert rest is not None
    assert dict(rest.parameters) == {"z": "q", "*": "r/s"}


def test_the_method_decides_between_routes_of_one_path_before_specificity() -> None:
    table = RouteTable([spec("join", "POST", "/rooms/join"), spec("room", "GET", "/rooms/{id}")])
    post = table.match("POST", "/rooms/join")
    get = table.match("GET", "/rooms/join")
    assert post is not None
    assert post.route.name == "join"
    assert get is not None
    assert get.route.name == "room"
    assert get.allows_method


def test_head_is_served_by_the_get_route() -> None:
    table = RouteTable([spec("a", "GET", "/a")])
    match = table.match("HEAD", "/a")
    assert match is not None
    assert match.allows_method


def test_a_wrong_method_belongs_to_the_owner_of_the_path() -> None:
    table = RouteTable([spec("a", "GET", "/a/{id}")])
    match = table.match("DELETE", "/a/1")
    assert match is not None
    assert match.route.name == "a"
    assert not match.allows_method


def test_a_slash_too_many_belongs_to_the_owner_of_the_path_who_redirects() -> None:
    table = RouteTable([spec("a", "GET", "/a"), spec("b", "GET", "/b/{id}", rewrite="/c/{id}")])
    for path, name in (("/a/", "a"), ("/b/1/", "b")):
        match = table.match("GET", path)
        assert match is not None
        assert (match.route.name, match.allows_method) == (name, False)
        assert match.path_at("service", path) == path
    assert table.match("GET", "/b/") is None
    assert table.match("GET", "/") is None


def test_a_route_of_one_host_wins_over_the_same_route_of_every_host() -> None:
    table = RouteTable(
        [spec("any", "GET", "/a"), spec("one", "GET", "/a", hosts=("Admin.example.com",))]
    )
    special = table.match("GET", "/a", "admin.example.com")
    other = table.match("GET", "/a", "api.example.com")
    assert special is not None
    assert special.route.name == "one"
    assert other is not None
    assert other.route.name == "any"


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a", "/a"), ("/a/{x}", "/a/{y}"), ("/a/*", "/a/*"), ("/a/{x}/*", "/a/{y}/*")],
)
def test_two_routes_for_the_same_requests_are_refused_when_the_table_is_built(
    first: str, second: str
) -> None:
    with pytest.raises(RouteConflictError, match=r"one.*two.*both claim"):
        RouteTable([spec("one", "GET", first), spec("two", "GET", second)])


def test_two_routes_of_one_name_are_refused() -> None:
    with pytest.raises(RouteConflictError, match="two routes are named 'a'"):
        RouteTable([spec("a", "GET", "/a"), spec("a", "GET", "/b")])


@pytest.mark.parametrize(
    "pattern", ["/a/{X}", "/a/{x", "/a//b", "/a/../b", "/a*", "a", "/a/%2F", "/*/b", "/a/{x}y}"]
)
def test_a_pattern_that_no_canonical_path_can_reach_is_refused(pattern: str) -> None:
    with pytest.raises(RouteConflictError):
        RouteTable([spec("a", "GET", pattern)])


def test_an_alias_serves_the_same_route_below_another_prefix() -> None:
    table = RouteTable(
        [spec("list", "GET", "/api/images"), spec("one", "GET", "/api/images/{id}")],
        [Alias("/api/image/", "/api/images/")],
    )
    for path, name in (
        ("/api/image/7", "one"),
        ("/api/images/7", "one"),
        ("/api/image", "list"),
        ("/api/images", "list"),
    ):
        match = table.match("GET", path)
        assert match is not None
        assert match.route.name == name


def test_a_rewrite_changes_the_path_towards_the_service_only() -> None:
    table = RouteTable(
        [
            spec("a", "GET", "/api/x/{id}", rewrite="/v2/things/{id}"),
            spec("p", "GET", "/api/files/*", rewrite="/files/*"),
        ]
    )
    match = table.match("GET", "/api/x/7%20")
    assert match is not None
    assert match.path_at("service", "/api/x/7%20") == "/v2/things/7%20"
    assert match.path_at("monolith", "/api/x/7%20") == "/api/x/7%20"
    prefix = table.match("GET", "/api/files/a/b")
    assert prefix is not None
    assert prefix.path_at("service", "/api/files/a/b") == "/files/a/b"


def test_every_route_of_the_shipped_manifest_finds_itself() -> None:
    manifest = load_manifest("migration.toml")
    table = route_table(manifest)
    for route in manifest.routes:
        path = route.path.replace("{", "x-").replace("}", "")
        match = table.match(route.method, path)
        assert match is not None
        assert match.route.name == route.name
        assert match.allows_method


TWO_HOSTS = """
[project]
name = "demo"
public_host = "api.example.com"
[router]
app = "router"
[monolith]
app = "api-monolith"
[services.content]
app = "content-service"
placement = "shared"
routes = [
  { name = "content.a", method = "GET", path = "/api/{x}", kind = "read", hosts = ["a.example.com"] },
  { name = "content.b", method = "GET", path = "/api/{y}", kind = "read", hosts = [HOST] },
]
"""


def test_routes_of_the_manifest_may_differ_by_host_alone_and_conflict_without() -> None:
    table = route_table(parse_manifest(TWO_HOSTS.replace("HOST", '"b.example.com"')))
    match = table.match("GET", "/api/1", "b.example.com")
    assert match is not None
    assert match.route.name == "content.b"
    assert table.match("GET", "/api/1", "c.example.com") is None
    with pytest.raises(ManifestError, match=r"content\.b.*overlaps with content\.a"):
        parse_manifest(TWO_HOSTS.replace("HOST", '"a.example.com"'))
