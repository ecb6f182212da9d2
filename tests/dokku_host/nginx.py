"""A real nginx with the values that Dokku gives to a public app's virtual host."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Dokku's defaults for properties that an app does not set (docs of its nginx proxy).
DEFAULTS: Mapping[str, str] = {
    "client-max-body-size": "1m",
    "proxy-buffering": "on",
    "proxy-read-timeout": "60s",
    "proxy-send-timeout": "60s",
    "proxy-connect-timeout": "60s",
    "send-timeout": "60s",
    "hsts-max-age": "15724800",
    "hsts-include-subdomains": "true",
}


@dataclass
class Nginx:
    """A running nginx in front of one upstream."""

    folder: Path
    process: subprocess.Popen[bytes]
    name: str
    http_port: int
    https_port: int
    properties: Mapping[str, str]

    @property
    def context(self) -> ssl.SSLContext:
        """Trusts this server's certificate and no other."""
        return ssl.create_default_context(cafile=str(self.folder / "server.crt"))

    def point_at(self, port: int) -> None:
        """What Dokku does when new containers have passed their checks: new upstream, reload."""
        _write(self, port)
        self.process.send_signal(signal.SIGHUP)


def _write(nginx: Nginx, port: int) -> None:
    p = {**DEFAULTS, **nginx.properties}
    sub = "; includeSubdomains" if p["hsts-include-subdomains"] == "true" else ""
    user = "user root;" if os.geteuid() == 0 else ""
    (nginx.folder / "nginx.conf").write_text(
        f"""{user}
daemon off;
worker_processes 1;
pid {nginx.folder}/nginx.pid;
error_log {nginx.folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {nginx.folder}/body;
  proxy_temp_path {nginx.folder}/proxy;
  fastcgi_temp_path {nginx.folder}/fastcgi;
  uwsgi_temp_path {nginx.folder}/uwsgi;
  scgi_temp_path {nginx.folder}/scgi;
  upstream router-8080 {{ server 127.0.0.1:{port}; }}
  server {{
    listen 127.0.0.1:{nginx.http_port};
    server_name {nginx.name};
    return 301 https://$host:{nginx.https_port}$request_uri;
  }}
  server {{
    listen 127.0.0.1:{nginx.https_port} ssl http2;
    server_name {nginx.name};
    ssl_certificate {nginx.folder}/server.crt;
    ssl_certificate_key {nginx.folder}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_timeout 70;
    client_max_body_size {p["client-max-body-size"]};
    send_timeout {p["send-timeout"]};
    add_header Strict-Transport-Security "max-age={p["hsts-max-age"]}{sub}" always;
    location / {{
      gzip on;
      gzip_min_length 1100;
      gzip_types text/css text/plain application/json;
      gzip_vary on;
      proxy_pass http://router-8080;
      proxy_http_version 1.1;
      proxy_buffering {p["proxy-buffering"]};
      proxy_connect_timeout {p["proxy-connect-timeout"]};
      proxy_read_timeout {p["proxy-read-timeout"]};
      proxy_send_timeout {p["proxy-send-timeout"]};
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Start $msec;
    }}
  }}
}}
"""
    )


def _certificate(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    folder: Path, upstream: int, properties: Mapping[str, str], name: str = "localhost"
) -> Iterator[Nginx]:
    """nginx in front of a port, stopped afterwards."""
    if not shutil.which("nginx"):
        assert os.geteuid() == 0, "install nginx: these tests need the real one"
        subprocess.run(["apt-get", "install", "-y", "-q", "nginx-light"], check=True)
    _certificate(folder, name)
    nginx = Nginx(folder, None, name, free_port(), free_port(), properties)  # type: ignore[arg-type]
    _write(nginx, upstream)
    nginx.process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        _wait(nginx)
        yield nginx
    finally:
        nginx.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            nginx.process.wait(timeout=10)
        nginx.process.kill()
        nginx.process.wait(timeout=10)


def _wait(nginx: Nginx) -> None:
    for _ in range(200):
        assert nginx.process.poll() is None, (nginx.folder / "error.log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", nginx.https_port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nginx does not listen")
