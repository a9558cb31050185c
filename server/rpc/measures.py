"""Measurements that every role has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets of durations."""

LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
LAG_INTERVAL = 0.25


class LoopLag:
    """Measures how late the event loop is, which is what every call waits for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = Histogram(
            "strikeline_loop_lag_seconds", "Lateness of the event loop", buckets=LAG_SECONDS, registry=registry
        )

    async def run(self) -> None:
        """Samples until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self._lag.observe(max(0.0, loop.time() - due))


def watch(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """A gauge `strikeline_<name>` that is read when metrics are collected."""
    Gauge(f"strikeline_{name}", text, registry=registry).set_function(read)
