"""How many ticks a second one api process delivers to gRPC subscribers, through Redis."""

from __future__ import annotations

import random
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from server.domain.instruments import Instrument
from strikeline.v1 import market_data_service_pb2, stream_pb2
from tests.performance.ceiling import ROUTE as CEILING
from tests.performance.load import Received, receive
from tests.performance.market import feeder, list_instruments
from tests.performance.processes import api, bare, bench
from tests.performance.report import Figure, show

TICKS = "/strikeline.v1.MarketDataService/StreamTicks"
INSTRUMENTS = 3_000
OFFERED = 21_000
"""Ticks a second that the feed appends: a little more than the 20,000 of the floor, so that it can be passed."""
FLUSH_MS = 100
FLOOR = 1_000_000


def subscription(keys: Sequence[str], flush_ms: int) -> bytes:
    """A serialised request."""
    options = stream_pb2.StreamOptions(flush_interval=Duration(nanos=flush_ms * 1_000_000))
    return market_data_service_pb2.StreamTicksRequest(instruments=keys, options=options).SerializeToString()


async def run(_: int, seconds: float) -> None:
    """Prints both shapes of fan-out and their share of what one shared frame reaches."""
    async with bench() as setting:
        listed = await list_instruments(setting.database.worker_url, INSTRUMENTS)
        for title, requests in (
            ("50 subscribers of everything", [subscription([item.key for item in listed], FLUSH_MS)] * 50),
            ("500 subscribers with different sets of a tenth", _different_sets(listed, 500)),
        ):
            async with api(setting) as served, feeder(setting, listed, OFFERED, 20, seconds + 30):
                got = await receive(served.target, TICKS, requests, setting.bearer(), warm_up=8.0, seconds=seconds)
            delivered, size = _ticks_per_second(got)
            async with bare("ceiling", str(size)) as target:
                bound = await receive(target, CEILING, [b""] * len(requests), (), warm_up=2.0, seconds=seconds / 2)
            ceiling = bound.size / bound.seconds / got.size * got.seconds * delivered
            show(
                f"Delivery of {OFFERED:,} ticks/s, {title}, flush {FLUSH_MS} ms",
                [
                    Figure("delivered", delivered, "ticks/s", floor=FLOOR),
                    Figure("a bare server sending one shared frame", ceiling, "ticks/s"),
                    Figure("share of that ceiling", delivered / ceiling, ""),
                ],
            )


def _different_sets(listed: Sequence[Instrument], count: int) -> list[bytes]:
    chosen = random.Random(7)
    keys = [item.key for item in listed]
    return [subscription(chosen.sample(keys, len(keys) // 10), FLUSH_MS) for _ in range(count)]


def _ticks_per_second(got: Received) -> tuple[float, int]:
    """-> (ticks a second, usual frame size). Ticks are counted in a hundredth of the frames and scaled by bytes."""
    ticks = size = 0
    for frame in got.samples:
        ticks += len(market_data_service_pb2.StreamTicksResponse.FromString(frame).batch.ticks)
        size += len(frame)
    if not got.samples:
        raise RuntimeError("nothing was delivered")
    return ticks / size * got.size / got.seconds, size // len(got.samples)
