"""Minute bars of an instrument that a test publishes by hand, and clients of the bars that are made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.domain.timeframes import Timeframe
from server.market.hub.hub import Hub
from server.market.hub.options import DeliveryOptions
from server.market.records import ABSENT, BAR, BAR_CLOSED
from server.store.bars import BarStore
from server.store.database import Database
from server.store.market_log import OutputLog
from strikeline.internal.v1 import log_pb2
from strikeline.v1 import market_data_service_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.market import OPEN, Market, publish_bars
from tests.support.clock import turn
from tests.support.market import MINUTE, bar

_DAY = 1_440
RESPONSE = market_data_service_pb2.StreamBarsResponse


class Bars:
    """Publishes minute bars of one instrument, as the worker does for each entry of the log."""

    def __init__(self, market: Market, output: OutputLog, number: int = 1) -> None:
        self.market, self.output = market, output
        self.instrument = market.instruments[number]
        self.key = self.instrument.key

    def row(self, minute, prices, *, volume=10, closed=False):
        scaled = (price * 10_000 for price in prices)
        flags = BAR_CLOSED if closed else 0
        return (self.instrument.instrument_id, flags, OPEN + minute * MINUTE, *scaled, volume, ABSENT)

    async def publish(self, *rows, **more):
        last = max(row[2] for row in rows) if rows else self.market.time
        self.market.time = max(self.market.time, last)
        await self.market.trade(0)
        await publish_bars(self.output, self.market.last_id, self.market.time, rows, **more)

    async def publish_of_run(self, run: str, row) -> None:
        """A minute of another run, whose market time is that minute."""
        await self.market.trade(0)
        entry = log_pb2.BarsEntry(run=run, market_time=row[2], bars=np.array([row], BAR).tobytes())
        await self.output.publish([(str(self.market.last_id), entry.SerializeToString())])

    async def pass_time(self, minute: int) -> None:
        """Market time goes on to a minute, and nobody trades."""
        self.market.time = OPEN + minute * MINUTE
        await self.publish()

    async def store(self, database: Database, minute: int, prices: Sequence[float], *, closed: bool = True) -> None:
        """As the worker does, soon after it has published the minute. Volume is 10."""
        before = 10 * (minute % _DAY)
        opened = OPEN + minute * MINUTE
        row = bar(self.instrument.instrument_id, opened, prices, cumulative_max=before + 10, cumulative_before=before)
        if not closed:
            row["flags"] = 0
        async with database.transaction() as transaction:
            await BarStore(database).merge_bars(transaction, row)

    async def trade(self, database: Database, minutes: Sequence[int]) -> None:
        """Minutes that are over, published and stored, each with a price of its own."""
        for minute in minutes:
            prices = (100 + minute, 102 + minute, 99 + minute, 101 + minute)
            await self.publish(self.row(minute, prices, closed=True))
            await self.store(database, minute, prices)

    async def settled(self, hub: Hub, timeframe: str = "1min", *, closed_only: bool = False) -> None:
        topic = hub.intake.bars(Timeframe.parse(timeframe), closed_only=closed_only)
        await topic.channel.reached((self.market.last_id,))
        await turn()


def client_of(
    hub: Hub,
    keys: Sequence[str],
    timeframe: str = "1min",
    options: DeliveryOptions = AT_ONCE,
    closed_only: bool = False,
) -> HubClient:
    """A client of StreamBars."""
    return HubClient(
        hub.subscribe_bars(keys, timeframe, options, USER, closed_only=closed_only), options.resume_token, RESPONSE
    )


def shown(update):
    """Minute (from the open), prices, volume and whether it is closed."""
    bar = update.bar
    minute = (bar.open_time.ToNanoseconds() - OPEN) // MINUTE
    return minute, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.closed


def batches(client):
    return [shown(update) for message in client.messages if message.HasField("batch") for update in message.batch.bars]
