"""What the gateway measures, and one JSON log line a request: without queries, bodies or credentials."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import BinaryIO

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.exchange import Exchange
from server.observability.logs import JsonFormatter, timestamp
from server.observability.traces import trace_id

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)
FLUSH_SECONDS = 0.05
MOST_WAITING_LINES = 256
OTHER = "other"
"""Label of requests that call no method."""


class LineLog(logging.Handler):
    """Writes log lines in batches, for a system call a request costs as much as finding its route."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._stream = stream
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def line(self, members: dict[str, object]) -> None:
        """Writes one JSON object, soon."""
        self._lines.append(orjson.dumps(members, default=str))
        if len(self._lines) >= MOST_WAITING_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """A record of any library, at once."""
        self._lines.append(self.format(record).encode())
        self.flush()


def configure_logging(level: str, handler: LineLog) -> None:
    """Sends every logger of this process to the handler."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Uvicorn's own lines would show a socket's query, in which tickets stand.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class Telemetry:
    """Rate, errors and duration by method and status, the access log, and gauges. One registry an application."""

    def __init__(self, registry: CollectorRegistry, log: LineLog | None) -> None:
        """`log`: None writes no access log."""
        self.registry = registry
        self._log = log
        self._requests = Counter(
            "strikeline_gateway_requests", "Requests that ended", ("rpc", "status"), registry=registry
        )
        self._seconds = Histogram(
            "strikeline_gateway_seconds", "Duration of requests", ("rpc",), buckets=SECONDS, registry=registry
        )
        self._messages = Counter(
            "strikeline_gateway_stream_messages", "Messages sent on streams", ("rpc",), registry=registry
        )
        self._counters: dict[tuple[str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge `strikeline_gateway_<name>` that is read when metrics are collected."""
        Gauge(f"strikeline_gateway_{name}", text, registry=self.registry).set_function(read)

    def ended(self, exchange: Exchange, method: str, path: str, status: int, seconds: float) -> None:
        """A request or a socket ended."""
        rpc = exchange.rpc or OTHER
        counter = self._counters.get((rpc, status))
        if counter is None:
            counter = self._counters[rpc, status] = self._requests.labels(rpc, str(status))
            self._histograms.setdefault(rpc, self._seconds.labels(rpc))
        counter.inc()
        if exchange.messages:
            self._messages.labels(rpc).inc(exchange.messages)
        else:
            self._histograms[rpc].observe(seconds)
        if self._log is not None:
            self._log.line(_access(exchange, method, path, status, seconds))


def _access(exchange: Exchange, method: str, path: str, status: int, seconds: float) -> dict[str, object]:
    members: dict[str, object] = {
        "time": timestamp(time.time()),
        "level": "INFO" if status < 500 else "ERROR",
        "logger": "strikeline.gateway",
        "message": "request",
        "method": method,
        "path": path,
        "rpc": exchange.rpc,
        "status": status,
        "code": exchange.code,
        "duration_ms": round(seconds * 1e3, 3),
        "correlation_id": exchange.correlation_id,
        "trace_id": trace_id(exchange.headers.get(b"traceparent", b"").decode("latin-1")),
        "peer": exchange.client,
    }
    if exchange.reason:
        members["reason"] = exchange.reason
    if exchange.messages:
        members["messages"] = exchange.messages
    return members
