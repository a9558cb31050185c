"""The identity of a trace, as W3C's `traceparent` carries it."""

from __future__ import annotations

import re

_FORM = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


def trace_id(traceparent: str) -> str:
    """The trace's id; empty for what is no `traceparent`, of which nothing may reach a log."""
    match = _FORM(traceparent)
    return match.group(1) if match else ""
