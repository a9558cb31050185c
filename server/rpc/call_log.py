"""One log line a call, written together with those of its neighbours: a write costs more than a line."""

from __future__ import annotations

import asyncio
import logging
import time

import grpc

from server.rpc.call import Call
from server.rpc.logs import LINES

FLUSH_SECONDS = 0.05
"""Longest time that a line of a good call waits. Lines of failed servers do not wait."""
MOST_LINES = 500
"""Lines that wait at most."""

_LEVELS = {
    grpc.StatusCode.INTERNAL: logging.ERROR,
    grpc.StatusCode.UNKNOWN: logging.ERROR,
    grpc.StatusCode.UNAVAILABLE: logging.WARNING,
}


class CallLog:
    """Collects the lines of calls and hands them to the logger `strikeline.rpc`."""

    def __init__(self) -> None:
        self._log = logging.getLogger("strikeline.rpc")
        self._lines: list[dict[str, object]] = []
        self._level = logging.INFO
        self._timer: asyncio.TimerHandle | None = None

    def write(self, call: Call, seconds: float, code: grpc.StatusCode, reason: str) -> None:
        """A call that took so many seconds ended with that code."""
        level = _LEVELS.get(code, logging.INFO)
        if not self._log.isEnabledFor(level):
            return
        principal = call.principal
        line: dict[str, object] = {
            "time": time.time(),
            "level": logging.getLevelName(level),
            "logger": self._log.name,
            "message": "call",
            "method": call.method,
            "code": code.name,
            "duration_ms": round(seconds * 1e3, 3),
            "correlation_id": call.correlation_id,
            "trace_id": call.trace_id,
            "user": principal.user,
            "credential": principal.credential_id,
            "peer": call.peer,
        }
        if reason:
            line["reason"] = reason
        if call.stream:
            line["stream"] = call.stream
        self._lines.append(line)
        self._level = max(self._level, level)
        if level > logging.INFO or len(self._lines) >= MOST_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._lines:
            return
        lines, level = self._lines, self._level
        self._lines, self._level = [], logging.INFO
        record = self._log.makeRecord(self._log.name, level, __file__, 0, "calls", (), None, extra={LINES: lines})
        self._log.handle(record)
