"""Figures of other layers as Prometheus metrics, made at their first use."""

from __future__ import annotations

from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.observability.durations import SECONDS

M = TypeVar("M", Counter, Gauge, Histogram)


class PrometheusMeter:
    """Takes figures by name. A name always comes with the same labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Adds to a counter."""
        metric = self._counters.get(name)
        if metric is None:
            metric = self._counters[name] = Counter(name, _text(name), tuple(labels), registry=self._registry)
        _child(metric, labels).inc(amount)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge."""
        metric = self._gauges.get(name)
        if metric is None:
            metric = self._gauges[name] = Gauge(name, _text(name), tuple(labels), registry=self._registry)
        _child(metric, labels).set(value)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Adds a duration to a histogram."""
        metric = self._histograms.get(name)
        if metric is None:
            metric = Histogram(name, _text(name), tuple(labels), buckets=SECONDS, registry=self._registry)
            self._histograms[name] = metric
        _child(metric, labels).observe(seconds)


def _child(metric: M, labels: dict[str, str]) -> M:
    return metric.labels(**labels) if labels else metric


def _text(name: str) -> str:
    return name.removeprefix("strikeline_").replace("_", " ")
