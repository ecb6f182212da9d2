"""Puts a fake host behind a real OpenSSH server on loopback, with real git repositories for pushes."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrate.dokku.transport import SshTransport
from tests.dokku_host.deploys import receive
from tests.dokku_host.host import FakeHost, Result
from tests.dokku_host.words import RefusedError

CLIENT = Path(__file__).with_name("client.py")
SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin yes
MaxStartups 100
MaxSessions 10
PrintMotd no
PrintLastLog no
UseDNS no
SetEnv SHLVL=3
LogLevel ERROR
"""


@dataclass
class DokkuServer:
    """A fake host that listens. `host` can be changed while it runs."""

    host: FakeHost
    folder: Path
    port: int
    user: str

    @property
    def options(self) -> tuple[str, ...]:
        """Words for ssh: the operator's key, and only this server's host key."""
        return (
            "-F", "/dev/null",
            "-i", f"{self.folder}/operator_key",
            "-o", "IdentitiesOnly=yes",
            "-o", f"UserKnownHostsFile={self.folder}/known_hosts",
            "-o", "StrictHostKeyChecking=yes",
        )  # fmt: skip

    def transport(self) -> SshTransport:
        """The toolkit's own way to this host."""
        return SshTransport("127.0.0.1", user=self.user, port=self.port, options=self.options)

    def repository(self, app: str) -> Path:
        """The bare repository of an app."""
        return self.folder / "repositories" / app

    def answer(self, text: str, body: bytes) -> Result:
        """One question of the client program."""
        word, _, rest = text.partition(" ")
        if word == "run":
            return self.host.ssh(rest, body)
        if word == "repository":
            return self._open(rest)
        head, *environment = rest.split("\n")
        app, ref, revision, folder = head.split(" ")
        kept = dict(line.partition("=")[::2] for line in environment)
        try:
            said = receive(
                self.host, app, ref, revision, lambda path: _show(folder, revision, path, kept)
            )
        except RefusedError as error:
            return Result(error.code, b"", f" !     {error}\n".encode())
        return Result(0, said.encode(), b"")

    def _open(self, app: str) -> Result:
        with self.host.lock:
            properties = self.host.state.properties
            if app not in self.host.state.apps:
                if properties.get(("apps", "--global", "disable-autocreation")) == "true":
                    return Result(1, b"", f" !     App {app} does not exist\n".encode())
                self.host.execute(["apps:create", app])
        folder = self.repository(app)
        if not folder.exists():
            subprocess.run(["git", "init", "-q", "--bare", str(folder)], check=True)
            hook = folder / "hooks" / "pre-receive"
            hook.write_text(f"#!/bin/sh\nexec {_client(self.folder)} {app}\n")
            hook.chmod(0o755)
        return Result(0, str(folder).encode(), b"")


def _client(folder: Path) -> str:
    return f"{sys.executable} -S -I {CLIENT} {folder}/host.sock"


def _session_client(folder: Path) -> str:
    """The same for plain commands as a compiled program: thousands of them are started."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return _client(folder)
    program = folder / "client"
    source = CLIENT.with_suffix(".c")
    subprocess.run([compiler, "-O1", "-o", str(program), str(source)], check=True)
    return f"exec {program} {folder}/host.sock {sys.executable} {CLIENT}"


def _show(folder: str, revision: str, path: str, kept: dict[str, str]) -> str | None:
    done = subprocess.run(
        ["git", "-C", folder, "show", f"{revision}:{path}"],
        capture_output=True, check=False, env={**os.environ, **kept},
    )  # fmt: skip
    return done.stdout.decode() if done.returncode == 0 else None


def require_openssh() -> None:
    """Install the server by apt where it is missing and this may be done."""
    if not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]):
        assert os.geteuid() == 0, "install openssh-server: these tests need a real sshd"
        subprocess.run(["apt-get", "install", "-y", "-q", "openssh-server"], check=True)


@contextmanager
def listening(host: FakeHost) -> Iterator[DokkuServer]:
    """Start the unix socket and sshd; stop both afterwards."""
    require_openssh()
    folder = Path(tempfile.mkdtemp(prefix="dokku-", dir="/tmp"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = DokkuServer(host, folder, port, getpass.getuser())
    for name in ("host_key", "operator_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    public = (folder / "operator_key.pub").read_text()
    (folder / "authorized_keys").write_text(
        f'command="{_session_client(folder)}",no-agent-forwarding,no-port-forwarding,no-pty {public}'
    )
    (folder / "known_hosts").write_text(
        f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}"
    )
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=port, folder=folder))
    (folder / "repositories").mkdir()
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    with _bridge(server):
        daemon = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")],
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(port, daemon)
            yield server
        finally:
            daemon.terminate()
            daemon.wait(timeout=10)
            shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, daemon: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert daemon.poll() is None, "sshd did not start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("sshd does not listen")


@contextmanager
def _bridge(server: DokkuServer) -> Iterator[None]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            text, body = (int(size) for size in self.rfile.readline().split())
            result = server.answer(self.rfile.read(text).decode(), self.rfile.read(body))
            head = f"{result.exit} {len(result.stdout)} {len(result.stderr)}\n".encode()
            self.wfile.write(head + result.stdout + result.stderr)

    class Bridge(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Bridge(str(server.folder / "host.sock"), Handler) as bridge:
        thread = threading.Thread(target=bridge.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            bridge.shutdown()
            thread.join(timeout=10)
