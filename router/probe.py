"""`python -m router.probe URL`: one GET from where the router runs; says whether an app can be reached."""

from __future__ import annotations

import http.client
import sys
import time
from urllib.parse import urlsplit

#: An app that takes longer is as good as gone, in seconds.
TIMEOUT_SECONDS = 5.0


def main(arguments: list[str]) -> int:
    """Print status and time of one request; exit code 0 below status 400."""
    if len(arguments) != 1 or not arguments[0].startswith(("http://", "https://")):
        print("usage: python -m router.probe http://app.web:8080/readyz", file=sys.stderr)
        return 2
    started = time.perf_counter()
    try:
        status = _status(arguments[0])
    except (OSError, http.client.HTTPException) as error:
        print(f"{arguments[0]}: {type(error).__name__}: is the app running and on this network?")
        return 1
    passed = (time.perf_counter() - started) * 1000
    print(f"{arguments[0]}: {status} in {passed:.0f} ms")
    return 0 if status < 400 else 1


def _status(address: str) -> int:
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
