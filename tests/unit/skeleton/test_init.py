"""A first manifest from OpenAPI, Kong and nginx: it loads, and no route is lost in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.skeleton.found import UnreadableSourceError, clean_path, grouping_base
from migrate.skeleton.kong import read_kong
from migrate.skeleton.nginx import parse, read_nginx
from migrate.skeleton.openapi import read_openapi
from migrate.skeleton.write import write_manifest
from monolith.app import build_app
from monolith.settings import settings_from_environment
from shared.manifest import Manifest, load_manifest, parse_manifest

OPENAPI = {
    "openapi": "3.1.0",
    "servers": [{"url": "/api"}],
    "paths": {
        "/orders": {
            "get": {"summary": "List", "responses": {"200": {"content": {"application/json": {}}}}},
            "post": {"security": [{"bearer": []}]},
        },
        "/orders/{order-id}": {"delete": {"security": [{"bearer": []}]}},
        "/files": {"post": {"requestBody": {"content": {"multipart/form-data": {}}}}},
        "/talk": {"post": {"responses": {"200": {"content": {"text/event-stream": {}}}}}},
        "/payments/webhook": {"post": {}},
    },
}
KONG = {
    "_format_version": "3.0",
    "plugins": [],
    "services": [
        {
            "name": "billing",
            "plugins": [{"name": "jwt"}],
            "routes": [
                {"name": "invoices", "paths": ["/billing/invoices"], "methods": ["GET"]},
                {"name": "strange", "paths": ["~/billing/v\\d+"]},
            ],
        },
        {"name": "search", "routes": [{"name": "search", "paths": ["/search/"]}]},
    ],
}
NGINX = """
http {
  upstream old { server 10.0.0.1:8000; }
  server {
    server_name api.example.com;   # the public host
    location / { proxy_pass http://old; }
    location /users/ { proxy_pass http://old; }
    location = /status { limit_except GET { deny all; } proxy_pass http://old; }
    location /live/ { proxy_set_header Upgrade $http_upgrade; proxy_pass http://old; }
    location ~ ^/v[0-9]+/ { proxy_pass "http://old"; }
    location /static/ { root /var/www; }
  }
}
"""


def manifest_of(routes: object) -> Manifest:
    return parse_manifest(write_manifest(routes, name="shop", host="api.example.com", source="x"))  # type: ignore[arg-type]


def test_every_operation_of_an_openapi_document_becomes_a_route() -> None:
    manifest = manifest_of(read_openapi(OPENAPI))
    rows = {(r.method, r.path): (r.service, r.kind, r.auth) for r in manifest.routes}
    assert rows == {
        ("GET", "/api/orders"): ("orders", "read", "public"),
        ("POST", "/api/orders"): ("orders", "write", "user"),
        ("DELETE", "/api/orders/{order_id}"): ("orders", "write", "user"),
        ("POST", "/api/files"): ("files", "upload", "public"),
        ("POST", "/api/talk"): ("talk", "stream", "public"),
        ("POST", "/api/payments/webhook"): ("payments", "webhook", "signature"),
    }
    assert manifest.project.base_path == "/api"
    assert all(route.shadow == (route.kind == "read") for route in manifest.routes)


def test_the_monolith_s_own_document_gives_back_the_shipped_routes() -> None:
    settings = settings_from_environment(
        {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "JWT_SECRETS": "x" * 40}
    )
    found = manifest_of(read_openapi(build_app(settings).openapi()))
    shipped = {(r.method, r.path) for r in load_manifest().routes if r.kind != "websocket"}
    assert shipped <= {(r.method, r.path) for r in found.routes}


def test_kong_prefixes_become_a_path_and_all_below_it() -> None:
    routes = read_kong(KONG)
    text = write_manifest(routes, name="shop", host="h.example.com", source="kong.yaml")
    manifest = parse_manifest(text)
    billing = [(r.method, r.path, r.auth) for r in manifest.services["billing"].routes]
    assert billing == [
        ("GET", "/billing/invoices", "user"),
        ("GET", "/billing/invoices/*", "user"),
    ]
    assert len(manifest.services["search"].routes) == 10  # five methods, the path and below
    assert "Not taken over" in text
    assert "~/billing/v" in text


def test_nginx_locations_become_routes_and_the_rest_is_named() -> None:
    text = write_manifest(read_nginx(NGINX), name="shop", host="h.example.com", source="nginx.conf")
    manifest = parse_manifest(text)
    status = [(r.method, r.path) for r in manifest.services["status"].routes]
    assert status == [("GET", "/status")]
    kinds = {r.kind for r in manifest.services["live"].routes if r.method == "GET"}
    assert kinds == {"websocket"}
    assert {r.path for r in manifest.services["users"].routes} == {"/users", "/users/*"}
    assert "^/v[0-9]+/" in text
    assert "static" not in text


@pytest.mark.parametrize("text", ["location / {", "location / { } }"])
def test_a_bracket_without_its_twin_is_named(text: str) -> None:
    with pytest.raises(UnreadableSourceError, match=r"[{}]"):
        parse(text)


@pytest.mark.parametrize(
    "document", [{}, [], {"paths": {}}, {"openapi": "3.1.0", "paths": {"/x": {}}}]
)
def test_a_document_without_operations_is_refused(document: object) -> None:
    with pytest.raises(UnreadableSourceError):
        read_openapi(document)


@pytest.mark.parametrize("document", [{}, {"_format_version": "3.0", "services": []}])
def test_a_kong_file_without_routes_is_refused(document: object) -> None:
    with pytest.raises(UnreadableSourceError):
        read_kong(document)


def test_paths_are_cleaned() -> None:
    assert clean_path("//users//{id}/") == "/users/{id}"
    assert clean_path("/users/:id") == "/users/{id}"
    assert clean_path("/users/<int:user-id>") == "/users/{user_id}"
    assert clean_path("/v(1|2)/x?") is None
    assert clean_path("/") is None


def test_groups_begin_below_what_most_paths_share() -> None:
    assert grouping_base(["/api/a/1", "/api/b", "/api/c", "/api/d/x", "/health"]) == "/api"
    assert grouping_base(["/a/1", "/b/2"]) == ""


def test_the_command_writes_a_file_once(tmp_path: Path) -> None:
    source, target = tmp_path / "openapi.json", tmp_path / "migration.toml"
    source.write_text(json.dumps(OPENAPI))
    words = ["init", "--openapi", str(source), "-o", str(target), "--name", "shop"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert load_manifest(target).project.name == "shop"
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, UnreadableSourceError)
    assert "--force" in again.exception.message
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0


def test_the_command_wants_exactly_one_source() -> None:
    done = CliRunner().invoke(app, ["init"])
    assert isinstance(done.exception, UnreadableSourceError)
