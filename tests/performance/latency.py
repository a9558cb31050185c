"""How old a tick is when it reaches a gRPC client: flush 0, 50 subscribers of everything, through Redis."""

from __future__ import annotations

import time

from strikeline.v1 import market_data_service_pb2
from tests.performance.delivery import INSTRUMENTS, TICKS, subscription
from tests.performance.load import receive
from tests.performance.market import feeder, list_instruments
from tests.performance.processes import api, bench
from tests.performance.report import Figure, percentile, show

SUBSCRIBERS = 50
HEADER = 256
"""Bytes at the start of a frame that hold its `as_of`, which is the event time of its ticks here."""


async def run(_: int, seconds: float) -> None:
    """Prints the median and the 99th percentile at two rates."""
    async with bench() as setting:
        listed = await list_instruments(setting.database.worker_url, INSTRUMENTS)
        request = subscription([item.key for item in listed], 0)
        for rate in (5_000, 20_000):
            async with api(setting) as served, feeder(setting, listed, rate, 20, seconds + 30):
                got = await receive(
                    served.target,
                    TICKS,
                    [request] * SUBSCRIBERS,
                    setting.bearer(),
                    warm_up=8.0,
                    seconds=seconds,
                    age=_age,
                )
            show(
                f"Tick to client at {rate:,} ticks/s, flush 0, {SUBSCRIBERS} subscribers, {seconds:.0f} s",
                [
                    Figure("P50", 1000 * percentile(got.ages, 0.50), "ms", floor=5.0, lower_is_better=True),
                    Figure("P99", 1000 * percentile(got.ages, 0.99), "ms", floor=30.0, lower_is_better=True),
                ],
            )


def _age(frame: bytes) -> float | None:
    """Seconds since the event time in the frame's header. Heartbeats and status have no event."""
    now = time.time_ns()
    if len(frame) <= HEADER:
        return None
    as_of = as_of_nanoseconds(frame)
    return (now - as_of) / 1e9


def as_of_nanoseconds(frame: bytes) -> int:
    """`as_of` of an envelope without decoding its payload: its fields 1 (a varint) and 2 stand first."""
    end = 1
    while frame[end] & 0x80:
        end += 1
    end += 1
    if frame[0] != 0x08 or frame[end] != 0x12:
        raise ValueError("the envelope does not begin with sequence and as_of")
    length = frame[end + 1]
    header = frame[: end + 2 + length]
    return market_data_service_pb2.StreamTicksResponse.FromString(header).as_of.ToNanoseconds()
