"""Prometheus metrics that every web app has; knows no route by name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

#: Seconds. Reads must answer in 10 s, generating routes in 55 s, streams may last 120 s (contract 1.17).
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 55, 120)

HTTP_REQUESTS = Counter(
    "http_requests_total", "Answered requests", ("service", "route", "method", "status")
)
HTTP_SECONDS = Histogram(
    "http_request_seconds", "Time to the last byte", ("service", "route"), buckets=_SECONDS
)
HTTP_IN_FLIGHT = Gauge("http_requests_in_flight", "Requests being answered", ("service",))


def observe_request(service: str, route: str, method: str, status: int, seconds: float) -> None:
    """Count one answered request. `status` 0 means that the client left before the answer began."""
    known = method if method in _METHODS else "other"  # a client must not invent label values
    HTTP_REQUESTS.labels(service, route, known, str(status)).inc()
    HTTP_SECONDS.labels(service, route).observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
