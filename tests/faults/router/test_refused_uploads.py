"""An app that refuses an upload resets the connection: its answer must survive the reset.

The app runs in threads of its own, so that its reset really races with the router's next write.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.router.harness import Rig

ANSWER = b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much"


def _refuse(connection: socket.socket) -> None:
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65_536)
            if not piece:
                return
            head += piece
        connection.recv(1000)
        connection.sendall(ANSWER)  # closing with unread bytes sends a reset right behind it


@pytest.fixture
def refusing_app() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_refuse, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _upload(port: int) -> bytes:
    """One client: uploads in a thread, reads until the end."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(20)
        client.sendall(b"POST /api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n")

        def send() -> None:
            try:
                for _ in range(300):
                    client.sendall(b"x" * 100_000)
            except OSError:
                return

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        found = b""
        while piece := client.recv(65_536):
            found += piece
    sender.join()
    return found


async def test_the_answer_of_a_refused_upload_survives_the_reset(rig, refusing_app: int) -> None:
    router: Rig = await rig()
    address = router.plane.upstreams["monolith"].addresses
    address.replace([("127.0.0.1", refusing_app)], 0.0)
    answers = Counter([await asyncio.to_thread(_upload, router.port) for _ in range(60)])
    assert {(answer[:12], answer[-8:]) for answer in answers} == {(b"HTTP/1.1 413", b"too much")}
    assert not router.causes()
