"""`kill -9` of worker, api and gateway while clients stream: nothing is missed or repeated, bars are complete."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from generated.clients.strikeline.v1 import StreamOptions, StreamTicksRequest, StreamTicksResponse
from server.client import connect
from strikeline.v1 import tick_pb2
from tests.e2e.http_client import MODULE_LOOP, Http
from tests.streaming.transports import ResumingClient, Subscription, events_of, over_websocket
from tests.support.system import DevSystem
from tests.support.waiting import eventually

pytestmark = [MODULE_LOOP, pytest.mark.slow]
ARGUMENTS = ("--speed", "10")

INDEX = "NSE:NIFTY 50"
VICTIMS = {"worker": ("server", "worker"), "api": ("server", "api"), "gateway": ("-m gateway",)}

Tick = tuple[datetime, float]
"""Event time and price."""
Prices = tuple[float, float, float, float]


class TypedReader:
    """The typed client's resuming stream, read in the background."""

    def __init__(self, address: str, token: str) -> None:
        self.envelopes: list[StreamTicksResponse] = []
        self.arrivals: list[float] = []
        self._address, self._token = address, token

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[TypedReader]:
        task = asyncio.create_task(self._read())
        try:
            await eventually(self._has_begun)
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self) -> None:
        options = StreamOptions(flush_interval=timedelta(0), heartbeat_interval=timedelta(seconds=1))
        request = StreamTicksRequest(instruments=[INDEX], options=options)
        async with connect(self._address, token=self._token) as client:
            async for envelope in client.resuming(client.market_data.stream_ticks, request):
                self.envelopes.append(envelope)
                self.arrivals.append(asyncio.get_running_loop().time())

    async def _has_begun(self) -> bool:
        return bool(self.ticks)

    @property
    def ticks(self) -> list[Tick]:
        """Every tick of the batches, in the order of delivery."""
        return [
            (tick.event_time, tick.last_price)
            for envelope in self.envelopes
            if envelope.batch
            for tick in envelope.batch.ticks
        ]

    async def beyond(self, moment: datetime) -> None:
        """Returns when the stream is complete up to that market time."""

        async def reached() -> bool:
            return any(envelope.as_of and envelope.as_of >= moment for envelope in self.envelopes[-5:])

        await eventually(reached)


async def test_kills_cost_no_event_and_no_bar(system: DevSystem, http: Http) -> None:
    subscription = Subscription(system.envoy, system.token(), {"instruments": [INDEX]})
    async with (
        TypedReader(system.envoy, system.token()).reading() as typed,
        ResumingClient(over_websocket, subscription) as browser,
    ):
        await browser.until(lambda: browser.event_count > 0)
        for name, victim in VICTIMS.items():
            system.kill(*victim)
            await both_go_on(typed, browser, name)
        end = minute_of(typed.ticks[-1][0]) + timedelta(minutes=1)
        await typed.beyond(end + timedelta(seconds=1))
        await eventually(lambda: has_reached(browser, end))

    sequences = [envelope.sequence for envelope in typed.envelopes]
    assert sequences == list(range(1, len(sequences) + 1))
    times = [time for time, _ in typed.ticks]
    assert times == sorted(set(times))
    browsed = until(end, ticks_of(browser))
    assert browsed == [tick for tick in until(end, typed.ticks) if tick[0] >= browsed[0][0]]
    assert await stored(http, minutes_of(typed.ticks, end)) == minutes_of(typed.ticks, end)


async def both_go_on(typed: TypedReader, browser: ResumingClient, victim: str) -> None:
    """Returns when both have new events; says how long that took. Market time runs at ten times wall time."""
    loop = asyncio.get_running_loop()
    killed, before, events = loop.time(), typed.ticks[-1][0], browser.event_count
    await typed.beyond(before + timedelta(seconds=60))
    await browser.until(lambda: browser.event_count > events + 300)
    longest = max(later - earlier for earlier, later in pairwise(typed.arrivals) if later > killed)
    back = [arrival - killed for arrival in browser.first_arrivals if arrival > killed]
    print(f"{victim} killed: typed client without a message for {longest:.2f} s, WebSocket back after {back}")


def ticks_of(client: ResumingClient) -> list[Tick]:
    parsed = [tick_pb2.Tick.FromString(event.content) for event in events_of(client.history)]
    return [(tick.event_time.ToDatetime(UTC), tick.last_price) for tick in parsed]


async def has_reached(client: ResumingClient, moment: datetime) -> bool:
    return ticks_of(client)[-1][0] >= moment


def minute_of(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def until(end: datetime, ticks: Sequence[Tick]) -> list[Tick]:
    return [tick for tick in ticks if tick[0] < end]


def minutes_of(ticks: Sequence[Tick], end: datetime) -> dict[datetime, Prices]:
    """Open, high, low, close of each minute from the first whole one to `end`."""
    begin = minute_of(ticks[0][0]) + timedelta(minutes=1)
    found: dict[datetime, list[float]] = {}
    for time, price in ticks:
        if begin <= time < end:
            found.setdefault(minute_of(time), []).append(price)
    return {minute: (own[0], max(own), min(own), own[-1]) for minute, own in found.items()}


async def stored(http: Http, minutes: dict[datetime, Prices]) -> dict[datetime, Prices]:
    """The bars on record from the first to the last of the minutes."""
    first, last = (moment.isoformat().replace("+00:00", "Z") for moment in (min(minutes), max(minutes)))
    after = (max(minutes) + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")

    async def closed() -> bool:
        bars = await http.get("/v1/bars", instrument=INDEX, timeframe="1min", startTime=last, endTime=after)
        return bool(bars["bars"]) and bool(bars["bars"][0]["closed"])

    await eventually(closed)
    bars = await http.series("/v1/bars", "bars", instrument=INDEX, timeframe="1min", startTime=first, endTime=after)
    assert len({bar["openTime"] for bar in bars}) == len(bars)
    return {
        datetime.fromisoformat(bar["openTime"]): (bar["open"], bar["high"], bar["low"], bar["close"]) for bar in bars
    }
