"""Counters of the event code for Prometheus; built once per process and handed around."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: Seconds; handlers are database transactions of a few milliseconds.
HANDLER_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0)
#: Seconds between an event's time and its effect; the contract allows 5.
DWELL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0, 60.0, 3600.0)


class EventMetrics:
    """Metrics of one process. Labels are domains, types and fixed words, never ids."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """A registry of its own unless one is given."""
        self.registry = registry if registry is not None else CollectorRegistry()
        self.published = Counter(
            "events_published_total",
            "Outbox rows by what the broker did with them",
            ["outcome"],
            registry=self.registry,
        )
        self.relay_batch_seconds = Histogram(
            "events_relay_batch_seconds",
            "Time from taking a batch of outbox rows to its commit",
            buckets=HANDLER_BUCKETS,
            registry=self.registry,
        )
        self.relay_errors = Counter(
            "events_relay_errors_total",
            "Batches that failed and will be taken again",
            ["error"],
            registry=self.registry,
        )
        self.outbox_unsent = Gauge(
            "events_outbox_unsent", "Rows that wait", ["side"], registry=self.registry
        )
        self.outbox_oldest_seconds = Gauge(
            "events_outbox_oldest_seconds",
            "Age of the oldest row that is due",
            ["side"],
            registry=self.registry,
        )
        self.handled = Counter(
            "events_handled_total",
            "Messages by what became of them",
            ["consumer", "type", "outcome"],  # done duplicate unknown retry deferred parked
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "events_batch_seconds",
            "Time of one transaction of inbox rows and effects",
            ["consumer"],
            buckets=HANDLER_BUCKETS,
            registry=self.registry,
        )
        self.dwell_seconds = Histogram(
            "events_dwell_seconds",
            "Time from an event to its effect",
            ["consumer"],
            buckets=DWELL_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "events_in_flight",
            "Messages taken and not settled",
            ["consumer"],
            registry=self.registry,
        )
        self.connected = Gauge(
            "events_broker_connected", "1 while connected", ["purpose"], registry=self.registry
        )
        self.blocked = Gauge(
            "events_broker_blocked", "1 during an alarm of the broker", registry=self.registry
        )
        self.reconnects = Counter(
            "events_broker_reconnects_total",
            "Lost connections",
            ["purpose"],
            registry=self.registry,
        )
