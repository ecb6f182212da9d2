"""The headers of an event stream (contract, 1.12), live or replayed."""

from __future__ import annotations

EVENT_STREAM = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
