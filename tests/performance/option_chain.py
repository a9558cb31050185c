"""GetOptionChain of 160 legs at 100 requests a second, while every chain is valued four times a second.

Requests leave when they are due, whether or not earlier ones are answered; a latency counts from that moment on.
`python -m tests.performance.option_chain SECONDS` publishes the chains as the worker does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import cycle

import grpc
import numpy as np

from server.domain.instruments import InstrumentKind, NewInstrument
from server.domain.prices import SCALE
from server.market.chains import LiveChain
from server.store.database import Database
from server.store.instruments import InstrumentStore
from server.store.market_log import MarketLog, OutputLog
from server.store.redis import open_redis
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import option_chain_requests_pb2, option_pb2
from tests.performance.load import raw
from tests.performance.processes import Bench, api, bench, process
from tests.performance.report import Figure, percentile, show
from tests.support.chains import live_chain

ROUTE = "/strikeline.v1.OptionService/GetOptionChain"
UNDERLYINGS = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX")
EXPIRIES = (date(2026, 12, 1), date(2026, 12, 29))
STRIKES = tuple(range(22_000, 26_000, 50))
OPEN = 1_795_405_500 * 10**9
"""The open of 2026-11-23, nanoseconds."""

RATE, EVERY, VARIANTS = 100, 0.25, 8
_SIDES: Mapping[str, InstrumentKind] = {"call": InstrumentKind.CALL, "put": InstrumentKind.PUT}


def listed() -> list[NewInstrument]:
    """Every option of every chain."""
    return [
        NewInstrument(
            exchange="NFO",
            tradingsymbol=_symbol(underlying, expiry, strike, side),
            kind=kind,
            underlying=underlying,
            expiry=expiry,
            strike=Decimal(strike),
            lot_size=75,
            segment="NFO-OPT",
            provenance="synthetic",
        )
        for underlying in UNDERLYINGS
        for expiry in EXPIRIES
        for strike in STRIKES
        for side, kind in _SIDES.items()
    ]


async def run(_rounds: int, seconds: float) -> None:
    """Prints the percentiles of the latency."""
    async with bench() as setting:
        async with Database.open(setting.database.worker_url, size=2, application_name="bench") as database:
            await InstrumentStore(database).import_bulk(listed())
        command = ["-m", "tests.performance.option_chain", str(round(seconds) + 20)]
        worker = {**setting.environment, "STRIKELINE_BENCH_DATABASE": setting.database.worker_url}
        async with api(setting) as served, process(command, None, worker):
            answer, latencies = await measure(served.target, setting, seconds)
    legs = sum(row.HasField("call") + row.HasField("put") for row in answer.rows)
    milliseconds = [latency * 1e3 for latency in latencies]
    show(
        f"GetOptionChain of {legs} legs, {RATE} requests a second to {len(UNDERLYINGS) * len(EXPIRIES)} chains",
        [
            Figure("P50 from the moment that a request is due", percentile(milliseconds, 0.50), "ms"),
            Figure("P95", percentile(milliseconds, 0.95), "ms", floor=12.0, lower_is_better=True),
            Figure("P99", percentile(milliseconds, 0.99), "ms"),
            Figure("size of an answer", answer.ByteSize() / 1024, "KiB"),
        ],
    )


async def measure(target: str, setting: Bench, seconds: float) -> tuple[option_pb2.OptionChain, list[float]]:
    """-> an answer, and seconds from due to answered of each request."""
    requests = cycle(
        option_chain_requests_pb2.GetOptionChainRequest(
            underlying=underlying, expiry=expiry.isoformat()
        ).SerializeToString()
        for expiry in EXPIRIES
        for underlying in UNDERLYINGS
    )
    latencies: list[float] = []
    bearer = setting.bearer()
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(ROUTE, request_serializer=raw, response_deserializer=raw)

        async def ask(request: bytes, due: float) -> bytes:
            answer = await call(request, metadata=bearer, timeout=5)
            latencies.append(time.perf_counter() - due)
            return answer

        await _until_valued(call, bearer)
        async with asyncio.TaskGroup() as group:
            began = time.perf_counter()
            for number in range(round(seconds * RATE)):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                last = group.create_task(ask(next(requests), due))
    return option_pb2.OptionChain.FromString(last.result()), latencies


async def _until_valued(
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], bearer: Sequence[tuple[str, str]]
) -> None:
    """The api has read chains, and answers fast."""
    request = option_chain_requests_pb2.GetOptionChainRequest(
        underlying=UNDERLYINGS[-1], expiry=EXPIRIES[-1].isoformat()
    )
    async with asyncio.timeout(15):
        while True:
            answer = await call(request.SerializeToString(), metadata=bearer, timeout=5, wait_for_ready=True)
            if option_pb2.OptionChain.FromString(answer).revision > 4:
                return
            await asyncio.sleep(0.1)


async def publish(seconds: float) -> None:
    """Every chain four times a second, one after the other."""
    async with Database.open(os.environ["STRIKELINE_BENCH_DATABASE"], size=1, application_name="bench") as database:
        numbers = {item.key: item.instrument_id for item in await InstrumentStore(database).all()}
    chains = [variants_of(underlying, expiry, numbers) for underlying in UNDERLYINGS for expiry in EXPIRIES]
    async with open_redis(os.environ["STRIKELINE_REDIS_URL"], timeout=5.0) as redis:
        namespace = os.environ["STRIKELINE_NAMESPACE"]
        feed, log = MarketLog(redis, namespace, 1), OutputLog(redis, namespace, "chains:0")
        began = time.monotonic()
        for number in range(round(seconds / EVERY * len(chains))):
            await asyncio.sleep(max(0.0, began + number * EVERY / len(chains) - time.monotonic()))
            revision, place = divmod(number, len(chains))
            at = OPEN + number * 25_000_000
            chain = replace(chains[place][revision % VARIANTS], as_of=at, revision=revision + 1)
            entry = log_pb2.ChainsEntry(run="bench", market_time=at, chains=[chain.state()])
            cause = log_pb2.LogEntry(run="bench", source="bench", kind=log_pb2.LOG_ENTRY_KIND_TICKS, market_time=at)
            await log.publish([(await feed.append([cause.SerializeToString()]), entry.SerializeToString())])


def variants_of(underlying: str, expiry: date, numbers: Mapping[str, int]) -> Sequence[LiveChain]:
    """The chain at several forwards, with order books, volume and open interest."""
    smile = {float(strike): 0.12 + ((strike - 24_000) / 40_000) ** 2 for strike in STRIKES}
    chains = []
    for step in range(VARIANTS):
        chain = live_chain(expiry, OPEN, smile, underlying=underlying, forward=24_030.0 + 2 * step)
        for side in _SIDES:
            rows = chain.rows[side]
            rows["instrument"] = [numbers[f"NFO:{_symbol(underlying, expiry, strike, side)}"] for strike in STRIKES]
            rows["event_time"] = OPEN
            rows["bid_price"], rows["ask_price"] = rows["last_price"] - SCALE // 20, rows["last_price"] + SCALE // 20
            rows["bid_quantity"], rows["ask_quantity"] = 75, 150
            rows["volume"] = 1_000 * np.arange(len(STRIKES)) + step
            rows["open_interest"], rows["previous_open_interest"] = 75_000 + 75 * step, 70_000
        chains.append(chain)
    return chains


def _symbol(underlying: str, expiry: date, strike: int, side: str) -> str:
    return f"{underlying}{expiry:%y%m%d}{strike}{'CE' if side == 'call' else 'PE'}"


if __name__ == "__main__":
    asyncio.run(publish(float(sys.argv[1])))
