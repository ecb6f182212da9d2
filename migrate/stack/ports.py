"""Free TCP ports of 127.0.0.1 that stay ours: outside the range from which the kernel takes client ports."""

from __future__ import annotations

import random
import socket

# Below net.ipv4.ip_local_port_range (32768 and up on Linux), so that no outgoing connection grabs a port
# while its server is stopped for a moment; above the ports that people know by heart.
PORT_RANGE = range(20_000, 32_000)
ATTEMPTS = 200
LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(
    taken: frozenset[int] = frozenset(), host: str = LOOPBACK, *, in_a_row: int = 1
) -> int:
    """The first of `in_a_row` free ports in a row, none among `taken`, chosen at random.

    Two processes that ask at the same time rarely get the same.
    """
    for _ in range(ATTEMPTS):
        first = random.SystemRandom().choice(PORT_RANGE)
        ports = range(first, first + in_a_row)
        if all(port not in taken and is_free(port, host) for port in ports):
            return first
    raise OSError(f"no {in_a_row} free port(s) between {PORT_RANGE.start} and {PORT_RANGE.stop}")
