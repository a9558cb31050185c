"""One JSON object a line on standard error, without secrets."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import TextIO, cast

import orjson

FIELDS = "fields"
"""Name of the attribute of a log record that carries more members of the JSON object."""

LINES = "lines"
"""Name of the attribute of a log record that stands for several lines: their members, whose `time` is seconds since
1970 UTC. Nothing in them may come from outside unchecked."""

_SECRETS = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]*\.?[\w-]*"  # a JSON web token
    r"|(?i:\bbearer\s+)\S+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user and password of an address
    r"|(?i:(?:password|passwd|secret|api_key|apikey|ticket|authorization)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;]+"
)


def redact(text: str) -> str:
    """The text with everything that looks like a credential replaced."""
    return _SECRETS.sub("[redacted]", text)


def timestamp(seconds: float) -> str:
    """Seconds since 1970 UTC as every line shows them."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1e6):06d}Z"


@lru_cache(maxsize=2)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, then the record's own fields; a stack trace as `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, or several for a record that has them ready."""
        lines: Iterable[dict[str, object]] | None = getattr(record, LINES, None)
        if lines is not None:
            return "\n".join(self._ready(line) for line in lines)
        line: dict[str, object] = {
            "time": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        fields = getattr(record, FIELDS, None)
        if fields is not None:
            line.update(fields)
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()

    def _ready(self, line: dict[str, object]) -> str:
        return orjson.dumps({**line, "time": timestamp(cast("float", line["time"]))}).decode()


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Sends every logger of this process to one JSON handler. Called by the command line, never by a library."""
    # A line shows none of these, and finding them out costs more than all the rest of it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
