"""How the messages of a stream follow each other in an HTTP body: NDJSON or server-sent events, as `Accept` asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

NDJSON = b"application/x-ndjson"
EVENT_STREAM = b"text/event-stream"


class Framer(Protocol):
    """Frames of one content type."""

    @property
    def content_type(self) -> bytes:
        """What `Content-Type` says."""
        ...

    def message(self, json: bytes, token: bytes) -> bytes:
        """One message. `token`: its resume token; empty when the stream has none."""
        ...

    def error(self, status: bytes) -> bytes:
        """The last frame of a stream that failed. `status`: google.rpc.Status as JSON."""
        ...

    def end(self) -> bytes:
        """The last frame of a stream that is complete."""
        ...


@dataclass(frozen=True)
class NdjsonFramer:
    """One JSON value a line; a failed stream ends with a line `{"error":…}`."""

    content_type: bytes = NDJSON

    def message(self, json: bytes, token: bytes) -> bytes:  # noqa: ARG002 - the token stands in the message
        """See Framer."""
        return json + b"\n"

    def error(self, status: bytes) -> bytes:
        """See Framer."""
        return b'{"error":%b}\n' % status

    def end(self) -> bytes:
        """See Framer."""
        return b""


@dataclass(frozen=True)
class EventFramer:
    """Server-sent events whose `id` is the resume token, so that a browser resumes by itself."""

    content_type: bytes = EVENT_STREAM

    def message(self, json: bytes, token: bytes) -> bytes:
        """See Framer."""
        if token:
            return b"id: %b\ndata: %b\n\n" % (token, json)
        return b"data: %b\n\n" % json

    def error(self, status: bytes) -> bytes:
        """See Framer."""
        return b"event: error\ndata: %b\n\n" % status

    def end(self) -> bytes:
        """See Framer."""
        return b"event: end\ndata: {}\n\n"


@dataclass(frozen=True)
class Wanted:
    """What a client accepts."""

    framer: Framer
    """For streams."""

    proto_names: bool
    """Field names as in the protos instead of lowerCamelCase: `Accept: application/json; names=proto`."""


_USUAL = Wanted(NdjsonFramer(), proto_names=False)
_PROTO = Wanted(NdjsonFramer(), proto_names=True)
_EVENTS = Wanted(EventFramer(), proto_names=False)
_PROTO_EVENTS = Wanted(EventFramer(), proto_names=True)


def wanted(headers: Mapping[bytes, bytes]) -> Wanted:
    """What the header `Accept` asks for."""
    accept = headers.get(b"accept", b"*/*")
    if accept in (b"*/*", b"application/json"):
        return _USUAL
    text = accept.lower().replace(b" ", b"")
    events, proto_names = EVENT_STREAM in text, b"names=proto" in text
    if events:
        return _PROTO_EVENTS if proto_names else _EVENTS
    return _PROTO if proto_names else _USUAL
