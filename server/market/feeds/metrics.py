"""What a feed counts, for its `/metrics` page."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class FeedMetrics:
    """Counters of one feed process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ticks = Counter("strikeline_feed_ticks", "Ticks appended to the log", registry=registry)
        self.entries = Counter("strikeline_feed_entries", "Entries appended to the log", registry=registry)
        self.malformed = Counter(
            "strikeline_feed_malformed_rows", "Rows of a source that were skipped", registry=registry
        )
        self.retries = Counter("strikeline_feed_retries", "Appends that were tried again", registry=registry)
        self.waited = Counter("strikeline_feed_wait_seconds", "Time spent waiting for the worker", registry=registry)
        self.ahead = Gauge("strikeline_feed_ahead_ticks", "Ticks that the worker has not committed", registry=registry)
