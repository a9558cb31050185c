"""A page that the exchange stamped with its close, 15:30:00, through feed, worker, history and stream."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.market.hub.delivery import DeliveryOptions
from server.market.hub.hub import Subscriber
from server.store.database import Database
from server.store.rollups import RollupStore
from strikeline.v1 import moneyness_series_pb2, option_pb2, option_stream_pb2
from strikeline.v1 import option_distribution_pb2 as distribution_pb2
from strikeline.v1 import option_history_pb2 as pb
from tests.integration.worker.recorded import replayed
from tests.streaming.clients import HubClient
from tests.support.api import RunningApi, api, api_settings, instruments, keys
from tests.support.option_history import ask

__all__ = ["api", "api_settings", "instruments", "keys", "replayed"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

EXPIRY = "2025-07-31"
LAST = {"1min": "09:59", "5min": "09:55", "15min": "09:45", "1hour": "09:45", "1day": "03:45"}
"""When the last bucket of the day begins, UTC."""
CALLS, PUTS = 51_132_500, 23_425_000
"""Open interest of the page, units."""
STRIKE = (5_780_000, 2_562_000)
"""Of the strike 1,500."""
MONEY = 982_000.0 + 692_000.0
"""Of 1,490, the strike at the money."""


def at(clock: str) -> Timestamp:
    stamp = Timestamp()
    hour, minute = map(int, clock.split(":"))
    stamp.FromDatetime(datetime(2025, 7, 15, hour, minute, tzinfo=UTC))
    return stamp


SPAN = {"start_time": at("00:00"), "end_time": at("23:00")}


@pytest.fixture
async def recorded(api: RunningApi, replayed: Callable, shared_data: Path) -> RunningApi:
    """The api behind a replay of the page of a day."""
    await replayed(shared_data / "nse_option_chain" / "json" / "RELIANCE_2025-07-15.json.gz")
    return api


@pytest.fixture(params=[False, True], ids=["minutes", "rolled_up"])
async def stored(request: pytest.FixtureRequest, recorded: RunningApi, worker_db: Database) -> RunningApi:
    """The same from minutes, and from what the server's edition rolls up of them."""
    if request.param:
        assert await RollupStore(worker_db).roll_up() == 1
    return recorded


async def test_the_last_bucket_of_the_day_has_it(stored: RunningApi) -> None:
    for timeframe, begins in LAST.items():
        await check_history(stored, timeframe, at(begins))


async def check_history(stored: RunningApi, timeframe: str, begins: Timestamp) -> None:
    about = {"underlying": "RELIANCE", "expiry": EXPIRY, "timeframe": timeframe, **SPAN}
    metrics = await ask(stored, "ListExpiryMetrics", pb.ListExpiryMetricsRequest(**about))
    history = await ask(stored, "ListStrikeHistory", pb.ListStrikeHistoryRequest(strike=1_500, **about))
    series = await ask(
        stored,
        "ListMoneynessSeries",
        moneyness_series_pb2.ListMoneynessSeriesRequest(
            underlying="RELIANCE", expiries=[EXPIRY], timeframe=timeframe, max_level=1, **SPAN,
            indicator=option_pb2.OPTION_INDICATOR_OPEN_INTEREST,
        ),
    )  # fmt: skip
    (bucket,) = metrics.buckets
    assert (bucket.open_time, bucket.metrics.as_of) == (begins, at("10:00"))
    assert (bucket.metrics.call_open_interest, bucket.metrics.put_open_interest) == (CALLS, PUTS)
    (row,) = history.buckets
    assert (row.open_time, row.call.open_interest, row.put.open_interest) == (begins, *STRIKE)
    assert (row.call.samples, row.call.implied_volatility.count) == (1, 1)
    money = {item.moneyness: [(point.open_time, point.value) for point in item.points] for item in series.series}
    assert money["ATM"] == [(begins, MONEY)]


async def test_the_chain_at_the_close_is_that_of_the_page(recorded: RunningApi) -> None:
    request = distribution_pb2.GetStrikeDistributionRequest(
        underlying="RELIANCE", expiries=[EXPIRY], time=at("10:00"), range={"strikes": {"values": [1_500]}}
    )
    (found,) = (await ask(recorded, "GetStrikeDistribution", request)).expiries
    (row,) = found.rows
    moment = await ask(
        recorded, "GetGreeksAt", pb.GetGreeksAtRequest(instrument="NFO:RELIANCE25JUL1500CE", time=at("10:00"))
    )

    assert (found.metrics.as_of, found.metrics.call_open_interest) == (at("10:00"), CALLS)
    assert (row.call.open_interest, row.put.open_interest) == STRIKE
    assert (moment.open_time, moment.open_interest) == (at("09:59"), STRIKE[0])
    assert moment.implied_volatility == row.call.implied_volatility


async def test_the_days_last_streamed_bucket_has_it(recorded: RunningApi) -> None:
    for timeframe in ("1min", "5min", "15min"):
        await check_stream(recorded, timeframe)


async def check_stream(recorded: RunningApi, timeframe: str) -> None:
    delivery = DeliveryOptions(flush=0.0)
    envelopes = recorded.app.hub.subscribe_option_buckets(("RELIANCE",), timeframe, delivery, Subscriber("user-1"))
    async with HubClient(envelopes, response=option_stream_pb2.StreamOptionBucketsResponse) as client:
        await client.take(2)

    bucket = next(item for item in client.messages[1].snapshot.buckets if item.expiry == EXPIRY)
    row = next(item for item in bucket.strikes if item.strike == 1_500)
    assert (bucket.open_time, bucket.metrics.call_open_interest) == (at(LAST[timeframe]), CALLS)
    assert (row.call.samples, row.call.open_interest, row.put.open_interest) == (1, *STRIKE)
