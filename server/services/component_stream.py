"""WatchComponents: a snapshot, then what changed, looked at once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from server.domain.errors import OutOfRange
from server.services.components import ComponentBoard
from server.services.times import timestamp
from strikeline.v1 import component_pb2, stream_pb2
from strikeline.v1.system_service_pb2 import WatchComponentsResponse

LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 10.0


async def watch_components(
    board: ComponentBoard, options: stream_pb2.StreamOptions, stream: str
) -> AsyncGenerator[bytes, None]:
    """Envelopes, serialised. Raises OutOfRange for a resume token, since a snapshot says everything."""
    if options.resume_token:
        raise OutOfRange("this stream starts anew with a snapshot", reason="RESUME_TOKEN_EXPIRED")
    beat = _heartbeat_seconds(options)
    yield _envelope(1, subscribed=stream_pb2.Subscribed(stream=stream))
    known = {item.component: item for item in await board.read()}
    yield _envelope(2, snapshot=component_pb2.ComponentBatch(components=known.values()))
    sequence, silent_since = 2, time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = {item.component: item for item in await board.read()}
        changed = [item for name, item in now.items() if known.get(name) != item]
        known = now
        if changed:
            frame = _envelope(sequence + 1, batch=component_pb2.ComponentBatch(components=changed))
        elif time.monotonic() - silent_since >= beat:
            frame = _envelope(sequence + 1, heartbeat=stream_pb2.Heartbeat())
        else:
            continue
        sequence, silent_since = sequence + 1, time.monotonic()
        yield frame


def _heartbeat_seconds(options: stream_pb2.StreamOptions) -> float:
    if not options.HasField("heartbeat_interval"):
        return HEARTBEAT_SECONDS
    return options.heartbeat_interval.ToMilliseconds() / 1_000


def _envelope(
    sequence: int,
    *,
    subscribed: stream_pb2.Subscribed | None = None,
    snapshot: component_pb2.ComponentBatch | None = None,
    batch: component_pb2.ComponentBatch | None = None,
    heartbeat: stream_pb2.Heartbeat | None = None,
) -> bytes:
    return WatchComponentsResponse(
        sequence=sequence,
        as_of=timestamp(time.time_ns()),
        subscribed=subscribed,
        snapshot=snapshot,
        batch=batch,
        heartbeat=heartbeat,
    ).SerializeToString()
