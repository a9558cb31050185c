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


class TickerMetrics:
    """Counters of the ticker feed's messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "strikeline_ticker_messages", "Messages received by channel", ["channel"], registry=registry
        )
        self.refused = Counter(
            "strikeline_ticker_refused_messages",
            "Messages that became no tick, by reason",
            ["reason"],
            registry=registry,
        )
        self.untimed = Counter(
            "strikeline_ticker_untimed_messages",
            "Quotes without a time: they got that of their arrival",
            registry=registry,
        )
        self.dropped = Counter(
            "strikeline_ticker_dropped_messages", "Messages dropped because too many waited", registry=registry
        )
        self.reconnects = Counter("strikeline_ticker_reconnects", "Subscriptions that were lost", registry=registry)
        self.outages = Counter("strikeline_ticker_outages", "Outages noted, by reason", ["reason"], registry=registry)
        self.connected = Gauge("strikeline_ticker_connected", "1 while subscribed", registry=registry)
        self.waiting = Gauge("strikeline_ticker_waiting_messages", "Messages that wait", registry=registry)
        self.dead_letters = Counter(
            "strikeline_dead_letters", "Messages that could not be read", ["source"], registry=registry
        )
