"""The back end behind every peer: nginx for plain answers, a small asyncio server for streams and sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from typing import Any

import uvloop

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)
EVENT = b'id: 1\nevent: delta\ndata: {"text":"some words of a reply"}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
#: Time between two events of one stream, in seconds.
EVENT_SECONDS = 0.1

NGINX = """
{user} daemon off; worker_processes 1; pid {folder}/backend.pid; error_log {folder}/backend.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 16m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; client_body_buffer_size 2m;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /api/search {{ return 200 '{{"items":[],"next_cursor":null,"has_more":false,"query":"dune"}}'; }}
    location /api/resources/ {{ root {folder}/files; try_files /big.json =404; }}
    location /api/images/ {{ proxy_pass http://127.0.0.1:{sink}; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_request_buffering on; }}
    location / {{ return 200 '{{}}'; }}
  }}
  server {{ listen 127.0.0.1:{sink}; location / {{ return 201 '{{}}'; }} }}
}}
"""


class LiveServer(asyncio.Protocol):
    """`GET …/ws`: WebSocket echo by raw frames; anything else: an event stream until the peer leaves."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._head = b""
        self._is_socket = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._is_socket:
            transport.write(data)  # the client's frames are unmasked: an echo is a copy
            return
        self._head += data
        if b"\r\n\r\n" not in self._head:
            return
        head, self._head = self._head, b""
        if b"upgrade: websocket" in head.lower():
            self._is_socket = True
            transport.write(_accept(head))
            return
        if head.startswith(b"GET /healthz"):
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return
        transport.write(STREAM_HEAD)
        self._send()

    def _send(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(CHUNK)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(EVENT_SECONDS, self._send)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()


def _accept(head: bytes) -> bytes:
    key = next(
        line.split(b":", 1)[1].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


async def serve(port: int) -> None:
    """Serve streams and sockets for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(LiveServer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
