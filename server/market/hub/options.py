"""How a client wants its stream delivered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from server.domain.errors import InvalidArgument
from server.market.hub.channel import FLUSH_INTERVALS
from strikeline.v1 import stream_pb2

DEFAULT_FLUSH = 0.1
DEFAULT_HEARTBEAT = 10.0


class SlowPolicy(Enum):
    """What happens to a client that reads too slowly."""

    CONFLATE = stream_pb2.SLOW_CONSUMER_CONFLATE
    DISCONNECT = stream_pb2.SLOW_CONSUMER_DISCONNECT


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Delivery of one stream: seconds between batches, seconds of silence before a heartbeat, where to go on."""

    flush: float = DEFAULT_FLUSH
    slow: SlowPolicy = SlowPolicy.CONFLATE
    heartbeat: float = DEFAULT_HEARTBEAT
    resume_token: str = ""

    @classmethod
    def of(cls, options: stream_pb2.StreamOptions) -> DeliveryOptions:
        """Options of a request, with defaults in place of what it leaves out. Raises InvalidArgument."""
        flush = options.flush_interval.ToMilliseconds() / 1_000 if options.HasField("flush_interval") else DEFAULT_FLUSH
        if flush not in FLUSH_INTERVALS:
            raise InvalidArgument.of("options.flush_interval", "must be 0, 50, 100, 250 or 1,000 ms")
        beat = options.heartbeat_interval
        return cls(
            flush=flush,
            slow=SlowPolicy(options.slow_consumer) if options.slow_consumer else SlowPolicy.CONFLATE,
            heartbeat=beat.ToMilliseconds() / 1_000 if options.HasField("heartbeat_interval") else DEFAULT_HEARTBEAT,
            resume_token=options.resume_token,
        )


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who opens a stream. When it ends because of its credential or by a call, the caller decides."""

    user: str
    stream: str = ""
    """Name of the stream in lists, when somebody else has already given it one."""
