"""One log line a call, written together with those of its neighbours: a write costs more than a line."""

from __future__ import annotations

import asyncio
import logging
import time

import grpc

from server.observability.logs import LINES
from server.rpc.call import Call

FLUSH_SECONDS = 0.05
"""Longest time that a line of a good call waits. Lines of failed servers do not wait."""
MOST_LINES = 500
"""Lines that wait at most."""

_LEVELS = {
    grpc.StatusCode.INTERNAL: logging.ERROR,
    grpc.StatusCode.UNKNOWN: logging.ERROR,
    grpc.StatusCode.UNAVAILABLE: logging.WARNING,
}


Ended = tuple[float, int, Call, float, grpc.StatusCode, str]
"""A call that ended: when, level, the call, its seconds, code and reason."""


class CallLog:
    """Collects calls that ended and hands them to the logger `strikeline.rpc`."""

    def __init__(self) -> None:
        self._log = logging.getLogger("strikeline.rpc")
        self._ended: list[Ended] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, call: Call, seconds: float, code: grpc.StatusCode, reason: str) -> None:
        """A call that took so many seconds ended with that code."""
        level = logging.INFO if code is grpc.StatusCode.OK else _LEVELS.get(code, logging.INFO)
        self._ended.append((time.time(), level, call, seconds, code, reason))
        if level > logging.INFO or len(self._ended) >= MOST_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ended, self._ended = self._ended, []
        shown = [item for item in ended if self._log.isEnabledFor(item[1])]
        if not shown:
            return
        level = max(item[1] for item in shown)
        extra = {LINES: [_line(self._log.name, *item) for item in shown]}
        self._log.handle(self._log.makeRecord(self._log.name, level, __file__, 0, "calls", (), None, extra=extra))


def _line(
    logger: str, ended_at: float, level: int, call: Call, seconds: float, code: grpc.StatusCode, reason: str
) -> dict[str, object]:
    line: dict[str, object] = {
        "time": ended_at,
        "level": logging.getLevelName(level),
        "logger": logger,
        "message": "call",
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
        line["reason"] = reason
    if call.stream:
        line["stream"] = call.stream
    return line
