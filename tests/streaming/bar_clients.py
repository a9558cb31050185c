"""Bars as the worker publishes them, clients of their streams, and what those have seen."""

from server.domain.timeframes import ONE_MINUTE
from server.market.records import ABSENT, BAR_CLOSED
from strikeline.v1 import market_data_service_pb2
from tests.streaming.clients import HubClient
from tests.streaming.conftest import AT_ONCE, USER
from tests.streaming.market import OPEN, publish_bars
from tests.support.clock import turn
from tests.support.market import MINUTE

RESPONSE = market_data_service_pb2.StreamBarsResponse


class Bars:
    """Publishes minute bars of one instrument, as the worker does for each entry of the log."""

    def __init__(self, market, output, number=1):
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

    async def settled(self, hub):
        topic = hub.intake.bars(ONE_MINUTE, closed_only=False)
        await topic.channel.reached((self.market.last_id,))
        await turn()


def client_of(hub, keys, timeframe="1min", options=AT_ONCE, closed_only=False):
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
