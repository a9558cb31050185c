"""Measurements that every process has, and how plain numbers become metrics when somebody collects them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from server.observability.durations import SECONDS, CacheUse

LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
LAG_INTERVAL = 0.25

_BOUNDS = (*map(str, SECONDS), "+Inf")


def process_registry() -> CollectorRegistry:
    """A registry with what every process has: its memory, CPU time, descriptors, garbage collections and Python."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


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


def histogram(
    name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Sequence[int], float]]
) -> Metric:
    """Durations as a metric; a row has its labels, the counts of its buckets and the sum of its seconds."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, counts, seconds in rows:
        family.add_metric(values, list(zip(_BOUNDS, accumulate(counts), strict=True)), seconds)
    return family


class CacheCollector(Collector):
    """Hits and misses of caches, by the names that they have here."""

    def __init__(self, registry: CollectorRegistry, caches: Mapping[str, CacheUse]) -> None:
        self._caches = caches
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known when the figures are collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        hits = CounterMetricFamily("strikeline_cache_hits", "What a cache had", labels=("cache",))
        misses = CounterMetricFamily("strikeline_cache_misses", "What a cache had not", labels=("cache",))
        for name, use in self._caches.items():
            hits.add_metric((name,), use.hits)
            misses.add_metric((name,), use.misses)
        yield hits
        yield misses
