"""The other proxies: their programs and the configuration that makes them do what the router does."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the back end listens: plain answers, upload sink, streams and sockets."""

    plain: int
    sink: int
    live: int


Command = tuple[list[str], Mapping[str, str]]


def program(name: str) -> str | None:
    """Where a program is; Debian keeps servers outside of a user's PATH."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", beside)))


def as_user() -> str:
    """nginx as root would serve as nobody, who cannot read a temporary folder."""
    return "user root;" if os.geteuid() == 0 else ""


def nginx(port: int, ports: Ports, place: Path) -> Command:
    (place / "nginx.conf").write_text(f"""
{as_user()} daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 64m;
  client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
  uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  upstream plain {{ server 127.0.0.1:{ports.plain}; keepalive 512; keepalive_requests 100000000; }}
  upstream live {{ server 127.0.0.1:{ports.live}; }}
  map $http_upgrade $connection_value {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off;
    proxy_set_header Host $host; proxy_set_header Connection $connection_value;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-Id $request_id;
    location / {{ proxy_pass http://plain; }}
    location /api/chat/ {{ proxy_pass http://live; }}
    location /api/story/rooms/ {{ proxy_pass http://live; }}
  }}
}}
""")
    return [program("nginx") or "nginx", "-c", str(place / "nginx.conf")], {}


def haproxy(port: int, ports: Ports, place: Path) -> Command:
    (place / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 2s
  timeout client 100s
  timeout server 100s
  timeout tunnel 1h
  option forwardfor
  http-reuse always
  unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt%pid
  unique-id-header X-Request-Id
frontend public
  bind 127.0.0.1:{port} backlog 4096
  use_backend live if {{ path_beg /api/chat/ /api/story/rooms/ }}
  default_backend plain
backend plain
  server one 127.0.0.1:{ports.plain}
backend live
  server one 127.0.0.1:{ports.live}
""")
    return [program("haproxy") or "haproxy", "-f", str(place / "haproxy.cfg")], {}


def caddy(port: int, ports: Ports, place: Path) -> Command:
    (place / "Caddyfile").write_text(f"""
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  @live path /api/chat/* /api/story/rooms/*
  reverse_proxy @live 127.0.0.1:{ports.live} {{
    flush_interval -1
  }}
  reverse_proxy 127.0.0.1:{ports.plain} {{
    header_up X-Request-Id {{http.request.uuid}}
    transport http {{
      keepalive_idle_conns_per_host 1024
    }}
  }}
}}
""")
    home = {"GOMAXPROCS": "1", "HOME": str(place), "XDG_DATA_HOME": str(place)}
    return ["caddy", "run", "--config", str(place / "Caddyfile"), "--adapter", "caddyfile"], home


def envoy(port: int, ports: Ports, place: Path) -> Command:
    def cluster(name: str, at: int) -> dict[str, object]:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": at}}
        endpoint = {"endpoint": {"address": address}}
        return {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "2s",
            "circuit_breakers": {
                "thresholds": [
                    {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
                ]
            },
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        }

    def route(prefix: str, name: str) -> dict[str, object]:
        return {"match": {"prefix": prefix}, "route": {"cluster": name, "timeout": "0s"}}

    base = "type.googleapis.com/envoy.extensions.filters."
    manager = {
        "@type": base + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "public",
        "use_remote_address": True,
        "generate_request_id": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        route("/api/chat/", "live"),
                        route("/api/story/rooms/", "live"),
                        route("/", "plain"),
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": base + "http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "public",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    clusters = [cluster("plain", ports.plain), cluster("live", ports.live)]
    document = {"static_resources": {"listeners": [listener], "clusters": clusters}}
    (place / "envoy.json").write_text(json.dumps(document))
    words = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return [program("envoy") or "envoy", "-c", str(place / "envoy.json"), *words], {}
