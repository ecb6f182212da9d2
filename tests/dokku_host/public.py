"""The public host of a fake Dokku host: answers over HTTP what nginx in front of its apps would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared.manifest import load_manifest
from tests.dokku_host.host import FakeHost

#: Paths of the public contract that a request without a token may not read.
NEEDS_USER = frozenset(
    route.path
    for service in load_manifest().services.values()
    for route in service.routes
    if route.auth != "public" and route.method == "GET"
)


def answering(host: FakeHost, name: str) -> list[str]:
    """Apps whose vhost has the name and whose containers run."""
    return [
        app.name
        for app in host.state.apps.values()
        if app.proxy_enabled
        and app.domains_enabled
        and name in app.domains
        and app.containers is not None
        and not app.stopped
    ]


@contextmanager
def public_host(host: FakeHost, name: str) -> Iterator[str]:
    """The base URL of the public host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            apps = answering(host, name)
            body = (apps[0] if apps else "nobody").encode()
            self.send_response((401 if self.path in NEEDS_USER else 200) if apps else 502)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=10)
