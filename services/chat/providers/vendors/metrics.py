"""What is counted of calls to vendors."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

FIRST_TOKEN = Histogram(
    "chat_model_first_token_seconds",
    "Time from the call of a deployment to its first text",
    ["vendor", "model"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 12, 20),
)
FAILURES = Counter(
    "chat_model_failures_total",
    "Calls of a deployment that failed; `stage` is before or after the first text",
    ["vendor", "model", "failure", "stage"],
)
SKIPPED = Counter(
    "chat_model_skipped_total",
    "Calls that a deployment did not get because its breaker was open",
    ["vendor", "model"],
)
