"""Position signals of a real worker over every transport, and the same ones read afterwards."""

from __future__ import annotations

import contextlib
from datetime import date

import httpx
import pytest
from google.protobuf import json_format

from server.store.market_log import MarketLog
from strikeline.v1 import futures_pb2, futures_requests_pb2
from tests.streaming.market import OPEN, Market
from tests.streaming.systems import reached
from tests.streaming.transports import TRANSPORTS, ResumingClient, StreamKind, Subscription, events_of
from tests.support.market import MINUTE, NIFTY, future, instruments
from tests.support.system import dev_system
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.slow

SIGNALS = StreamKind(
    "FuturesService",
    "StreamPositionSignals",
    "/v1/futures/{underlying}:streamPositionSignals",
    futures_requests_pb2.StreamPositionSignalsRequest,
    futures_requests_pb2.StreamPositionSignalsResponse,
)
NEAR, FOLLOWING = future("NIFTY25NOVFUT", date(2025, 11, 25)), future("NIFTY25DECFUT", date(2025, 12, 30))


class FuturesMarket(Market):
    """A price that rises for two minutes and falls for two, and open interest that grows every second minute."""

    def _tick(self, instrument: int) -> tuple[int, ...]:
        instrument, reserved, time, row, _, last, volume, _, *book = super()._tick(instrument)
        minute = (time - OPEN) // MINUTE
        price = 245_000_000 + 1_225_000 * (0, 1, 2, 1)[minute % 4] + row
        return (instrument, reserved, time, row, price, last, volume, 100_000 + 1_000 * (minute % 2), *book)


@pytest.fixture
async def market(worker_db, redis, namespace) -> Market:
    """NIFTY and two of its futures; the run has begun."""
    rows = await instruments(worker_db, NIFTY, NEAR, FOLLOWING)
    market = FuturesMarket(MarketLog(redis, namespace), rows)
    await market.start()
    return market


@pytest.fixture
async def system(tmp_path, database, redis_url, namespace, market):
    """An api, worker, gateway and Envoy; the test moves the market."""
    async with dev_system(tmp_path, database.owner_url, redis_url, namespace, "--feed", "none") as running:
        yield running


def closed(signal: futures_pb2.FuturesSignal) -> tuple[str, int]:
    return signal.instrument, signal.open_time.ToNanoseconds()


async def listed(system) -> list[futures_pb2.FuturesSignal]:
    """All signals of 1-minute bars, over HTTP."""
    headers = {"Authorization": f"Bearer {system.token()}"}
    async with httpx.AsyncClient(base_url=f"http://{system.envoy}", headers=headers, timeout=PATIENCE) as client:
        answer = await client.get("/v1/futures/NIFTY/positionSignals", params={"timeframe": "1min"})
    parsed = json_format.ParseDict(answer.raise_for_status().json(), futures_requests_pb2.ListPositionSignalsResponse())
    return list(parsed.signals)


async def worker_is_done(system, output, market) -> None:
    async def closed() -> bool:
        return len([signal for signal in await listed(system) if signal.closed]) >= 2 * 6

    await reached(output, market.last_id)
    await eventually(closed)


async def test_signals_are_the_same_over_all_transports_and_afterwards(system, market, bars_output):
    fields = {"underlying": "NIFTY", "instruments": [NEAR.key, FOLLOWING.key], "timeframe": "1min"}
    subscription = Subscription(system.envoy, system.token(), fields, SIGNALS)
    async with contextlib.AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(ResumingClient(transport, subscription))
            for name, transport in TRANSPORTS.items()
        }
        for client in clients.values():
            await client.until(lambda client=client: client.started)
        for _ in range(60):
            await market.trade(seconds=6)
        await market.end()
        await worker_is_done(system, bars_output, market)
        stored = {closed(signal): signal for signal in await listed(system)}
        for client in clients.values():
            await client.until(lambda client=client: last_states(client) == stored)

    one, *others = (events_of(client.history) for client in clients.values())
    assert [events == one for events in others] == [True, True, True]
    words = {signal.signal for signal in stored.values()}
    assert words >= {
        futures_pb2.POSITION_SIGNAL_LONG_BUILDUP,
        futures_pb2.POSITION_SIGNAL_SHORT_COVERING,
        futures_pb2.POSITION_SIGNAL_SHORT_BUILDUP,
        futures_pb2.POSITION_SIGNAL_LONG_UNWINDING,
    }
    assert min(start for _, start in stored) == OPEN


def last_states(client) -> dict[tuple[str, int], futures_pb2.FuturesSignal]:
    """The last state of each bar that the client was told."""
    states = {}
    for event in events_of(client.history):
        signal = futures_pb2.FuturesSignal.FromString(event.content)
        states[closed(signal)] = signal
    return states
