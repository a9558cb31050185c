"""Streams of position signals with thresholds of their own, side by side and resumed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from server.domain.errors import InvalidArgument, ResourceExhausted
from server.domain.futures import SIGNAL_THRESHOLD
from server.domain.instruments import InstrumentKind, NewInstrument
from server.domain.timeframes import ONE_MINUTE
from server.market.hub.signal_topics import MOST_THRESHOLDS
from server.market.hub.signals import SignalKind
from server.market.records import BAR_CLOSED
from server.store.market_log import MarketLog
from strikeline.v1 import futures_pb2, futures_requests_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.market import OPEN, Market, publish_bars
from tests.support.clock import turn
from tests.support.market import MINUTE, NIFTY, instruments

RESPONSE = futures_requests_pb2.StreamPositionSignalsResponse
FUTURE = NewInstrument(
    exchange="NFO", tradingsymbol="NIFTY25NOVFUT", kind=InstrumentKind.FUTURE, name="NIFTY", segment="NFO-FUT",
    underlying="NIFTY", expiry=date(2025, 11, 25), lot_size=75, provenance="kite",
)  # fmt: skip


@pytest.fixture
async def market(worker_db, redis, namespace) -> Market:
    market = Market(MarketLog(redis, namespace), await instruments(worker_db, NIFTY, FUTURE))
    await market.start()
    return market


@pytest.fixture
def publish(market, bars_output):
    """`await publish(minute, close, interest)`: the minute as it is when it closes."""

    async def one(minute: int, close: float, interest: int) -> None:
        market.time = OPEN + minute * MINUTE
        await market.trade(0)
        row = (market.instruments[1].instrument_id, BAR_CLOSED, market.time, *[round(close * 10_000)] * 4, 10, interest)
        await publish_bars(bars_output, market.last_id, market.time, [row])

    return one


def client_of(hub, threshold: float = SIGNAL_THRESHOLD, options=AT_ONCE) -> HubClient:
    stream = hub.subscribe_position_signals([FUTURE.key], ONE_MINUTE, options, USER, threshold=threshold)
    return HubClient(stream, options.resume_token, RESPONSE)


async def settled(hub, market, *thresholds: float) -> None:
    for threshold in thresholds or (SIGNAL_THRESHOLD,):
        topic = hub.intake.signals.get(SignalKind(ONE_MINUTE, threshold=threshold))
        await topic.channel.reached((market.last_id,))
    await turn()


def words(client: HubClient) -> list[str]:
    signals = [row for message in client.messages for row in message.batch.signals]
    return [futures_pb2.PositionSignal.Name(row.signal).removeprefix("POSITION_SIGNAL_") for row in signals]


async def test_each_stream_has_its_own_threshold(hub, market, publish):
    """Price and open interest rise by 0.2 and 1 per cent, then by 0.05 and 1."""
    async with client_of(hub) as usual, client_of(hub, 0.0) as lowest, client_of(hub, 0.2) as higher:
        for client in (usual, lowest, higher):
            client.read()
            await client.started()
        await publish(0, 1_000, 1_000)
        await publish(1, 1_002, 1_010)
        await publish(2, 1_002.5, 1_020)
        await settled(hub, market, SIGNAL_THRESHOLD, 0.0, 0.2)

    assert words(usual) == ["UNSPECIFIED", "LONG_BUILDUP", "NEUTRAL"]
    assert words(lowest) == ["UNSPECIFIED", "LONG_BUILDUP", "LONG_BUILDUP"]
    assert words(higher) == ["UNSPECIFIED", "NEUTRAL", "NEUTRAL"]
    assert [row.strength for message in higher.messages for row in message.batch.signals][1] == pytest.approx(0.2)


async def test_a_snapshot_is_by_the_threshold_as_well(hub, market, publish):
    await publish(0, 1_000, 1_000)
    await publish(1, 1_002, 1_010)
    await settled(hub, market)

    async with client_of(hub, 0.5) as client:
        await client.take(2)

    assert [row.signal for row in client.messages[1].snapshot.signals] == [futures_pb2.POSITION_SIGNAL_NEUTRAL]


@pytest.mark.parametrize("kept_open", [True, False])
async def test_a_stream_resumes_with_its_threshold(hub, market, publish, kept_open):
    """Whether somebody else goes on with that threshold meanwhile or nobody does."""
    async with client_of(hub, 0.5) as client:
        client.read()
        await client.started()
        await publish(0, 1_000, 1_000)
        await settled(hub, market, 0.5)
        token = client.connection.last_token()
        if kept_open:
            await publish(1, 1_002, 1_010)
            await publish(2, 1_022, 1_100)
            await settled(hub, market, 0.5)
            await resumed_words(hub, market, token)
    if not kept_open:
        await publish(1, 1_002, 1_010)
        await publish(2, 1_022, 1_100)
        await settled(hub, market)
        await resumed_words(hub, market, token)


async def resumed_words(hub, market, token: str) -> None:
    async with client_of(hub, 0.5, replace(AT_ONCE, resume_token=token)) as resumed:
        resumed.read()
        await resumed.until(lambda: len(words(resumed)) >= 2)
        await turn()
    assert words(resumed) == ["NEUTRAL", "LONG_BUILDUP"]


async def test_a_token_belongs_to_its_threshold(hub, market, publish):
    async with client_of(hub, 0.5) as client:
        await client.take(2)
        token = client.connection.last_token()

    with pytest.raises(InvalidArgument, match="another subscription"):
        await client_of(hub, 0.6, replace(AT_ONCE, resume_token=token)).take(1)


async def test_the_usual_threshold_said_aloud_is_the_usual_one(hub, market, publish):
    async with client_of(hub) as client:
        await client.take(2)
        token = client.connection.last_token()

    async with client_of(hub, 0.1, replace(AT_ONCE, resume_token=token)) as resumed:
        await resumed.take(1)

    assert resumed.kinds == ["subscribed"]


async def test_a_threshold_is_followed_while_somebody_wants_it(hub, market, publish):
    before = len(hub.intake.channels())
    async with client_of(hub, 0.5) as one, client_of(hub, 0.5) as other:
        await one.take(2)
        await other.take(2)
        shared = len(hub.intake.channels())

    assert (shared, len(hub.intake.channels())) == (before + 1, before)


async def test_so_many_thresholds_are_followed_at_once_and_no_more(hub, market, publish):
    before = len(hub.intake.channels())
    clients = [client_of(hub, 1.0 + number) for number in range(MOST_THRESHOLDS)]
    for client in clients:
        await client.take(1)

    with pytest.raises(ResourceExhausted) as refused:
        await client_of(hub, 0.9).take(1)
    for client in clients:
        await client.leave()

    assert (refused.value.reason, refused.value.metadata["limit"]) == ("STREAM_LIMIT_EXCEEDED", str(MOST_THRESHOLDS))
    assert len(hub.intake.channels()) == before
