"""Figures of what a process depends on: how long it takes, and whether it is being asked at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.observability.durations import Durations
from server.observability.measures import histogram
from server.store.breaker import BreakerState
from server.store.database import Database
from server.store.redis import RedisClient

BREAKER_VALUES: Mapping[BreakerState, int] = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class DependencyMetrics(Collector):
    """Durations by statement and command, callers that found the pool exhausted, and the states of breakers."""

    def __init__(self, registry: CollectorRegistry, database: Database, redis: RedisClient) -> None:
        self._watch = database.watch
        self._times = redis.times
        self._breakers: dict[str, Callable[[], BreakerState]] = {}
        self.watch("database", lambda: database.watch.breaker.state)
        self.watch("redis", lambda: redis.breaker.state)
        registry.register(self)

    def watch(self, dependency: str, state: Callable[[], BreakerState]) -> None:
        """Shows the breaker of one more dependency."""
        self._breakers[dependency] = state

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known when the figures are collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        yield _durations("database", "statement", self._watch.statements.by_name)
        yield _durations("redis", "command", self._times.by_name)
        exhausted = CounterMetricFamily("strikeline_pool_exhausted", "Callers refused by a pool that was all in use")
        exhausted.add_metric((), self._watch.exhausted)
        yield exhausted
        text = "0 while calls pass, 1 while one probes, 2 while they are refused"
        breakers = GaugeMetricFamily("strikeline_breaker_state", text, labels=("dependency",))
        for name, state in self._breakers.items():
            breakers.add_metric((name,), BREAKER_VALUES[state()])
        yield breakers


def _durations(what: str, label: str, times: Mapping[str, Durations]) -> Metric:
    rows = (((name,), durations.buckets, durations.seconds) for name, durations in sorted(times.items()))
    return histogram(f"strikeline_{what}_seconds", f"Duration by {label}", (label,), rows)
