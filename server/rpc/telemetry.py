"""What is measured and logged about calls. Every application has its own registry; labels come from fixed sets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.rpc.call import Call
from server.rpc.logs import FIELDS
from server.rpc.measures import SECONDS

_LEVELS = {
    grpc.StatusCode.INTERNAL: logging.ERROR,
    grpc.StatusCode.UNKNOWN: logging.ERROR,
    grpc.StatusCode.UNAVAILABLE: logging.WARNING,
}


class RpcTelemetry:
    """Rate, errors and duration of each method, and one log line a call."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("service", "method")
        self._calls = Counter(
            "strikeline_rpc_calls", "Calls that ended, by gRPC code", (*labels, "code"), registry=registry
        )
        self._seconds = Histogram(
            "strikeline_rpc_seconds", "Duration of unary calls", labels, buckets=SECONDS, registry=registry
        )
        self._running = Gauge("strikeline_rpc_running", "Unary calls that run now", labels, registry=registry)
        self._streams = Gauge("strikeline_rpc_streams", "Streams that are open now", labels, registry=registry)
        self._messages = Counter(
            "strikeline_rpc_stream_messages", "Messages sent on streams", labels, registry=registry
        )
        self._log = logging.getLogger("strikeline.rpc")

    def method(self, path: str, *, stream: bool) -> MethodTelemetry:
        """What one method records; the labels are bound once."""
        service, method = path.rsplit(".", 1)[-1].split("/")
        running = (self._streams if stream else self._running).labels(service, method)
        return MethodTelemetry(
            running,
            None if stream else self._seconds.labels(service, method),
            self._messages.labels(service, method) if stream else None,
            lambda code: self._calls.labels(service, method, code),
            self._log,
        )


class MethodTelemetry:
    """Records the calls of one method."""

    def __init__(
        self,
        running: Gauge,
        seconds: Histogram | None,
        messages: Counter | None,
        counter: Callable[[str], Counter],
        log: logging.Logger,
    ) -> None:
        self._running = running
        self._seconds = seconds
        self._messages = messages
        self._counter = counter
        self._counters: dict[grpc.StatusCode, Counter] = {}
        self._log = log

    def started(self) -> float:
        """A call begins. -> its start on the performance counter."""
        self._running.inc()
        return time.perf_counter()

    def sent(self) -> None:
        """A message of a stream was sent."""
        if self._messages is not None:
            self._messages.inc()

    def ended(self, call: Call, started: float, code: grpc.StatusCode, reason: str = "") -> None:
        """A call ends with that code."""
        seconds = time.perf_counter() - started
        self._running.dec()
        if self._seconds is not None:
            self._seconds.observe(seconds)
        counter = self._counters.get(code)
        if counter is None:
            counter = self._counters[code] = self._counter(code.name)
        counter.inc()
        self._write(call, seconds, code, reason)

    def _write(self, call: Call, seconds: float, code: grpc.StatusCode, reason: str) -> None:
        level = _LEVELS.get(code, logging.INFO)
        if not self._log.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            "method": call.method,
            "code": code.name,
            "duration_ms": round(seconds * 1e3, 3),
            "correlation_id": call.correlation_id,
            "trace_id": call.trace_id,
            "user": call.principal.user,
            "credential": call.principal.credential_id,
            "peer": call.peer,
        }
        if reason:
            fields["reason"] = reason
        if call.stream:
            fields["stream"] = call.stream
        # Made directly: `Logger.info` would search the stack for the calling line, which says nothing here.
        record = self._log.makeRecord(self._log.name, level, __file__, 0, "call", (), None, extra={FIELDS: fields})
        self._log.handle(record)
