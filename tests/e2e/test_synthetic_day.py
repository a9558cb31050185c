"""A synthetic day through the whole system: feed, log, worker, database, api, gateway and Envoy, as users see it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from generated.clients.strikeline.v1 import StreamBarsRequest, StreamOptions, StreamTicksRequest, Tick
from server.client import Client, connect
from tests.e2e.http_client import MODULE_LOOP, Http, envelopes, subscribe
from tests.streaming.histories import Event
from tests.streaming.transports import TRANSPORTS, ResumingClient, Subscription, events_of
from tests.support.system import DevSystem
from tests.support.waiting import PATIENCE, eventually

pytestmark = [MODULE_LOOP, pytest.mark.slow]
ARGUMENTS = ("--speed", "10")

INDEX = "NSE:NIFTY 50"
STOCK = "NSE:RELIANCE"
AT_ONCE = StreamOptions(flush_interval=timedelta(0))
ACCOUNT = "/v1/accounts/demo"

Prices = tuple[float, float, float, float]


@pytest_asyncio.fixture(loop_scope="module")
async def client(system: DevSystem) -> AsyncIterator[Client]:
    async with connect(system.envoy, token=system.token()) as connected:
        yield connected


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def future(http: Http) -> str:
    """The nearest NIFTY future."""
    contracts = await http.get(
        "/v1/derivativeContracts:search", underlying="NIFTY", kind="INSTRUMENT_KIND_FUTURE", pageSize=1
    )
    return str(contracts["contracts"][0]["instrument"])


def minute_of(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


async def ticks_of_whole_minutes(client: Client, instruments: list[str], minutes: int) -> list[Tick]:
    """Every tick of that many whole minutes, from the first one that begins after the subscription."""
    ticks: list[Tick] = []
    request = StreamTicksRequest(instruments=instruments, options=AT_ONCE)
    first = last = None
    async with asyncio.timeout(PATIENCE + 10 * minutes):
        async for envelope in client.resuming(client.market_data.stream_ticks, request):
            if envelope.batch is None:
                continue
            for tick in envelope.batch.ticks:
                first = first or minute_of(tick.event_time) + timedelta(minutes=1)
                last = first + timedelta(minutes=minutes)
                ticks.append(tick)
            if last is not None and envelope.as_of is not None and envelope.as_of >= last + timedelta(seconds=1):
                assert first is not None
                return [tick for tick in ticks if first <= tick.event_time < last]
    raise AssertionError("the stream ended")


def prices_by_minute(ticks: Iterable[Tick]) -> dict[str, dict[datetime, Prices]]:
    """Open, high, low and close of each instrument and minute."""
    found: dict[str, dict[datetime, list[float]]] = defaultdict(lambda: defaultdict(list))
    for tick in ticks:
        found[tick.instrument][minute_of(tick.event_time)].append(tick.last_price)
    return {
        instrument: {minute: (own[0], max(own), min(own), own[-1]) for minute, own in minutes.items()}
        for instrument, minutes in found.items()
    }


async def stored_bars(http: Http, instrument: str, minutes: Iterable[datetime]) -> dict[datetime, Any]:
    """The closed bars of those minutes, which follow each other, as soon as all of them are on record."""
    wanted = sorted(minutes)

    async def look() -> dict[datetime, Any] | None:
        end = zulu(wanted[-1] + timedelta(minutes=1))
        bars = await http.series(
            "/v1/bars", "bars", instrument=instrument, timeframe="1min", startTime=zulu(wanted[0]), endTime=end
        )
        found = {datetime.fromisoformat(bar["openTime"]): bar for bar in bars if bar["closed"]}
        return found if len(found) >= len(wanted) else None

    found: dict[datetime, Any] = await eventually(look)
    return found


def zulu(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


async def stored_prices(http: Http, instrument: str, minutes: Iterable[datetime]) -> dict[datetime, Prices]:
    bars = await stored_bars(http, instrument, minutes)
    return {minute: (bar["open"], bar["high"], bar["low"], bar["close"]) for minute, bar in bars.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ticks(system: DevSystem, future: str) -> list[Tick]:
    """Every tick of two whole minutes, as the typed client got them."""
    async with connect(system.envoy, token=system.token()) as client:
        return await ticks_of_whole_minutes(client, [INDEX, STOCK, future], minutes=2)


async def test_bars_on_record_are_those_of_the_ticks_that_were_streamed(
    http: Http, ticks: list[Tick], future: str
) -> None:
    expected = prices_by_minute(ticks)

    assert set(expected) == {INDEX, STOCK, future}
    for instrument, minutes in expected.items():
        assert await stored_prices(http, instrument, minutes) == minutes


async def test_volume_of_a_bar_is_what_was_traded_since_the_bar_before(
    http: Http, ticks: list[Tick], future: str
) -> None:
    totals = {minute_of(tick.event_time): tick.volume or 0 for tick in ticks if tick.instrument == future}
    first, second = sorted(totals)

    bars = await stored_bars(http, future, [second])

    assert int(bars[second]["volume"]) == totals[second] - totals[first]


async def test_closed_bars_are_streamed_as_they_are_stored(http: Http, client: Client) -> None:
    request = StreamBarsRequest(instruments=[INDEX], timeframe="1min", closed_only=True, options=AT_ONCE)
    streamed: dict[datetime, Prices] = {}

    async with asyncio.timeout(PATIENCE):
        async for envelope in client.resuming(client.market_data.stream_bars, request):
            for update in envelope.batch.bars if envelope.batch else ():
                assert update.bar is not None
                assert update.bar.open_time not in streamed
                bar = update.bar
                streamed[bar.open_time] = (bar.open, bar.high, bar.low, bar.close)
            if len(streamed) == 2:
                break

    assert await stored_prices(http, INDEX, streamed) == streamed


async def test_a_quote_is_the_newest_tick(http: Http, client: Client) -> None:
    request = StreamTicksRequest(instruments=[INDEX], options=AT_ONCE)
    async with asyncio.timeout(PATIENCE):
        async for envelope in client.market_data.stream_ticks(request):
            if envelope.batch:
                break

    quote = (await http.get("/v1/quotes:batchGet", instruments=INDEX))["quotes"][0]

    assert envelope.batch is not None
    assert datetime.fromisoformat(quote["eventTime"]) >= envelope.batch.ticks[-1].event_time
    assert quote["ohlc"]["low"] <= quote["lastPrice"] <= quote["ohlc"]["high"]
    assert not quote["stale"]


async def test_four_transports_deliver_the_same_events(system: DevSystem, future: str) -> None:
    subscription = Subscription(system.envoy, system.token(), {"instruments": [INDEX, STOCK, future]})
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(ResumingClient(transport, subscription))
            for transport in TRANSPORTS.values()
        ]
        for one in clients:
            await one.until(lambda one=one: one.event_count > 200)

    histories = [events_of(one.history) for one in clients]
    common = common_part(histories)
    assert len(common[0]) > 100
    assert all(events == common[0] for events in common)


def common_part(histories: list[list[Event]]) -> list[list[Event]]:
    """Of each history, what lies between the latest first and the earliest last event of all."""
    sets = [set(history) for history in histories]
    shared = set.intersection(*sets)
    found = []
    for history in histories:
        places = [place for place, event in enumerate(history) if event in shared]
        found.append(history[places[0] : places[-1] + 1])
    return found


@dataclass(frozen=True)
class Held:
    """A strategy and its legs by id: direction, units, entry."""

    strategy: str
    legs: dict[str, tuple[int, int, Decimal]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def straddle(http: Http) -> Held:
    """A short straddle of the nearest expiry, created over HTTP."""
    quote = (await http.get("/v1/quotes:batchGet", instruments=INDEX))["quotes"][0]
    strike = round(quote["lastPrice"] / 50) * 50
    made = await http.post(f"{ACCOUNT}/strategies", {"displayName": "short straddle"})
    legs: dict[str, tuple[int, int, Decimal]] = {}
    for kind in ("INSTRUMENT_KIND_CALL", "INSTRUMENT_KIND_PUT"):
        found = await http.get(
            "/v1/derivativeContracts:search",
            underlying="NIFTY",
            kind=kind,
            minStrike=strike,
            maxStrike=strike,
            pageSize=1,
        )
        option = found["contracts"][0]
        leg = await http.post(
            f"{ACCOUNT}/strategies/{made['strategy']}/legs",
            {
                "instrument": option["instrument"],
                "side": "SIDE_SELL",
                "quantity": option["lotSize"],
                "entryPrice": "100.05",
            },
        )
        legs[leg["leg"]] = (-1, int(leg["quantity"]), Decimal("100.05"))
    return Held(made["strategy"], legs)


async def samples_of_whole_minute(http: Http, held: Held) -> tuple[datetime, list[Any]]:
    """A minute and all samples of it that the WebSocket delivered."""
    samples: list[Any] = []
    request = {"account": "demo", "strategy": held.strategy, "options": {"flushInterval": "0s"}}
    async with http.socket() as socket, asyncio.timeout(2 * PATIENCE):
        await subscribe(socket, "StrategyService.StreamM2m", request)
        async for message in envelopes(socket):
            samples += message.get("batch", {}).get("samples", [])
            if not samples:
                continue
            minute = minute_of(datetime.fromisoformat(samples[0]["asOf"])) + timedelta(minutes=1)
            if datetime.fromisoformat(message["asOf"]) >= minute + timedelta(seconds=61):
                return minute, [s for s in samples if minute_of(datetime.fromisoformat(s["asOf"])) == minute]
    raise AssertionError("the stream ended")


async def test_live_mark_to_market_is_exact_and_its_candle_is_that_of_its_samples(http: Http, straddle: Held) -> None:
    minute, samples = await samples_of_whole_minute(http, straddle)

    assert len(samples) > 5
    for sample in samples:
        assert sample["complete"]
        assert Decimal(sample["m2m"]) == sum_by_hand(sample, straddle)
    figures = [Decimal(sample["m2m"]) for sample in samples]
    start = zulu(minute)
    path = f"{ACCOUNT}/strategies/{straddle.strategy}/m2mCandles"

    async def candles() -> list[Any]:
        return await http.series(path, "candles", startTime=start)

    candle = (await eventually(candles))[0]
    assert candle["openTime"] == start
    assert [Decimal(candle[name]) for name in ("open", "high", "low", "close")] == [
        figures[0], max(figures), min(figures), figures[-1]
    ]  # fmt: skip


def sum_by_hand(sample: Any, held: Held) -> Decimal:
    total = Decimal(0)
    for leg in sample["legs"]:
        direction, units, entry = held.legs[leg["leg"]]
        total += direction * (Decimal(leg["lastPrice"]) - entry) * units
    return total


async def test_the_present_mark_to_market_adds_up(http: Http, straddle: Held) -> None:
    async def complete() -> Any:
        figure = await http.get(f"{ACCOUNT}/strategies/{straddle.strategy}/m2m")
        return figure if figure["complete"] else None

    figure = await eventually(complete)

    assert len(figure["legs"]) == 2
    assert Decimal(figure["m2m"]) == sum_by_hand(figure, straddle)
    assert Decimal(figure["totalPnl"]) == Decimal(figure["m2m"]) + Decimal(figure["realizedPnl"])


async def test_another_user_sees_no_strategy_of_this_one(system: DevSystem, straddle: Held) -> None:
    account = (await system.run("account", "create", "--user", "mallory")).strip()

    async with Http.to(system.envoy, system.token("mallory")) as other:
        own = await other.client.get(f"/v1/accounts/{account}/strategies/{straddle.strategy}")
        foreign = await other.client.get(f"{ACCOUNT}/strategies/{straddle.strategy}")

    assert (own.status_code, foreign.status_code) == (404, 403)
