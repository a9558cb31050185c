"""What is measured about calls. Every application has its own registry; labels come from fixed sets.

The figures are plain numbers of one event loop, made into metrics when somebody collects them: a call pays for
additions only.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.observability.durations import SECONDS
from server.observability.measures import histogram
from server.rpc.call import Call
from server.rpc.call_log import CallLog

LABELS = ("service", "method")


class MethodTelemetry:
    """Counts the calls of one method."""

    def __init__(self, path: str, log: CallLog, *, stream: bool) -> None:
        service, method = path.rsplit(".", 1)[-1].split("/")
        self.labels = (service, method)
        self.stream = stream
        self.running = 0
        self.messages = 0
        self.succeeded = 0
        self.failed: dict[grpc.StatusCode, int] = {}
        self.seconds = 0.0
        self.buckets = [0] * (len(SECONDS) + 1)
        self._log = log

    def began(self) -> None:
        """A call begins."""
        self.running += 1

    def sent(self) -> None:
        """A message of a stream was sent."""
        self.messages += 1

    @property
    def codes(self) -> Mapping[grpc.StatusCode, int]:
        """How many calls ended with each code."""
        return {grpc.StatusCode.OK: self.succeeded, **self.failed} if self.succeeded else self.failed

    def ended(self, call: Call, code: grpc.StatusCode = grpc.StatusCode.OK, reason: str = "") -> None:
        """A call ends with that code."""
        seconds = time.perf_counter() - call.started
        self.running -= 1
        self.seconds += seconds
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        if code is grpc.StatusCode.OK:
            self.succeeded += 1
        else:
            self.failed[code] = self.failed.get(code, 0) + 1
        self._log.write(call, seconds, code, reason)


class RpcTelemetry(Collector):
    """Rate, errors and duration of each method, and one log line a call."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.log = CallLog()
        self._methods: list[MethodTelemetry] = []
        registry.register(self)

    def method(self, path: str, *, stream: bool) -> MethodTelemetry:
        """What one method records."""
        made = MethodTelemetry(path, self.log, stream=stream)
        self._methods.append(made)
        return made

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known when the figures are collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        calls = CounterMetricFamily("strikeline_rpc_calls", "Calls that ended, by gRPC code", labels=(*LABELS, "code"))
        for method in self._methods:
            for code, count in method.codes.items():
                calls.add_metric((*method.labels, code.name), count)
        yield calls
        unary = [method for method in self._methods if not method.stream]
        streams = [method for method in self._methods if method.stream]
        yield _durations(unary)
        yield _running("strikeline_rpc_running", "Unary calls that run now", unary)
        yield _running("strikeline_rpc_streams", "Streams that are open now", streams)
        messages = CounterMetricFamily("strikeline_rpc_stream_messages", "Messages sent on streams", labels=LABELS)
        for method in streams:
            messages.add_metric(method.labels, method.messages)
        yield messages


def _durations(methods: Iterable[MethodTelemetry]) -> Metric:
    rows = ((method.labels, method.buckets, method.seconds) for method in methods)
    return histogram("strikeline_rpc_seconds", "Duration of unary calls", LABELS, rows)


def _running(name: str, text: str, methods: Iterable[MethodTelemetry]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=LABELS)
    for method in methods:
        family.add_metric(method.labels, method.running)
    return family
