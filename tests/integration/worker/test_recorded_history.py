"""Two recorded days through feed, worker and roll-up: what the history answers equals the pages, read by pandas."""

import gzip
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path

import pandas as pd
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.store.database import Database
from server.store.rollups import RollupStore
from strikeline.v1 import moneyness_series_pb2, option_pb2
from strikeline.v1 import option_history_pb2 as pb
from tests.integration.worker.recorded import replayed
from tests.support.api import api, api_settings, instruments, keys
from tests.support.option_history import ask

__all__ = ["api", "api_settings", "instruments", "keys", "replayed"]

pytestmark = pytest.mark.stack

EXPIRY = "2019-08-01"
DAYS = ("2019-07-18", "2019-07-19")
INDICATOR = option_pb2.OPTION_INDICATOR_OPEN_INTEREST


@pytest.fixture
def recorded(shared_data: Path, tmp_path: Path) -> Path:
    """The pages of one expiry on two days, a Thursday and the Friday after it."""
    source = shared_data / "nse_option_chain" / "snapshots_2019" / "NIFTY_2019-07-18_to_29.csv.gz"
    path = tmp_path / "NIFTY_2019-07-18_to_19.csv"
    with gzip.open(source, "rt") as lines, path.open("w") as out:
        out.writelines(
            line for line in lines if line.startswith(("snapshot", *DAYS)) and (EXPIRY in line[:30] or line[0] == "s")
        )
    return path


def pages(path: Path) -> pd.DataFrame:
    """Pages within the session by minute (exchange time) and strike: open interest in units.

    One of the closing instant belongs to the minute before it.
    """
    rows = pd.read_csv(path, parse_dates=["snapshot_ist"])
    hours = rows["snapshot_ist"].dt.time
    rows = rows[(hours >= time(9, 15)) & (hours <= time(15, 30))].copy()
    rows.loc[hours == time(15, 30), "snapshot_ist"] -= pd.Timedelta(minutes=1)
    return rows.set_index(["snapshot_ist", "StrikePrice"])[["CallOI", "PutOI"]]


def exchange_time(stamp: Timestamp) -> pd.Timestamp:
    """As the pages tell time."""
    return pd.Timestamp(stamp.ToNanoseconds(), tz="UTC").tz_convert("Asia/Kolkata").tz_localize(None)


def at(day: str, hour: int, minute: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.combine(date.fromisoformat(day), time(hour, minute), UTC))
    return stamp


async def test_the_money_of_each_page_has_the_pages_open_interest(api, replayed: Callable, recorded: Path) -> None:
    await replayed(recorded)
    request = pb.ListExpiryMetricsRequest(
        underlying="NIFTY", expiry=EXPIRY, timeframe="1min", start_time=at(DAYS[0], 3, 45), end_time=at(DAYS[0], 10, 0)
    )
    metrics = await ask(api, "ListExpiryMetrics", request)
    series = await ask(
        api,
        "ListMoneynessSeries",
        moneyness_series_pb2.ListMoneynessSeriesRequest(
            underlying="NIFTY", indicator=INDICATOR, expiries=[EXPIRY], timeframe="1min", max_level=2, page_size=10_000,
            start_time=at(DAYS[0], 3, 45), end_time=at(DAYS[0], 10, 0),
        ),
    )  # fmt: skip
    money = {exchange_time(bucket.open_time): bucket.metrics.atm_strike for bucket in metrics.buckets}
    found = {
        exchange_time(point.open_time): point.value
        for item in series.series if item.moneyness == "ATM" for point in item.points
    }  # fmt: skip
    expected = pages(recorded).dropna()
    compared = {
        moment: (found.get(moment), float(expected.loc[(moment, strike)].sum()))
        for moment, strike in money.items() if (moment, strike) in expected.index
    }  # fmt: skip
    assert len(compared) > 15
    assert {moment: pair for moment, pair in compared.items() if pair[0] != pair[1]} == {}


async def test_open_interest_is_compared_with_the_day_before(api, replayed: Callable, recorded: Path) -> None:
    await replayed(recorded)
    strike = 11_500.0
    request = pb.ListStrikeHistoryRequest(
        underlying="NIFTY", expiry=EXPIRY, strike=strike, timeframe="1min", start_time=at(DAYS[1], 3, 45)
    )
    history = await ask(api, "ListStrikeHistory", request)
    levels = pages(recorded).xs(strike, level="StrikePrice")
    before = levels[levels.index < DAYS[1]].ffill().iloc[-1]
    found = {exchange_time(bucket.open_time): bucket for bucket in history.buckets}
    for moment, page in levels[levels.index >= DAYS[1]].iterrows():
        for side, column in (("call", "CallOI"), ("put", "PutOI")):
            bucket = getattr(found[moment], side)
            assert (bucket.open_interest, bucket.oi_change) == (page[column], page[column] - before[column])


@pytest.mark.parametrize("timeframe", ["5min", "15min", "1hour", "1day"])
async def test_rolling_up_changes_no_answer(
    api, replayed: Callable, recorded: Path, worker_db: Database, timeframe: str
) -> None:
    await replayed(recorded)
    metrics = pb.ListExpiryMetricsRequest(underlying="NIFTY", expiry=EXPIRY, timeframe=timeframe)
    strike = pb.ListStrikeHistoryRequest(underlying="NIFTY", expiry=EXPIRY, strike=11_500, timeframe=timeframe)

    async def answers() -> list[object]:
        return [await ask(api, "ListExpiryMetrics", metrics), await ask(api, "ListStrikeHistory", strike)]

    before = await answers()
    assert await RollupStore(worker_db).roll_up(1_000) > 20
    after = await answers()
    assert [type(answer) for answer in before] == [pb.ListExpiryMetricsResponse, pb.ListStrikeHistoryResponse]
    assert _rounded(after) == _rounded(before)
    assert len(before[0].buckets) >= 2


def _rounded(answers: list[object]) -> list[str]:
    """Without the last digits of means, which depend on the order of summing."""
    return [re.sub(r"(\d\.\d{9})\d+", r"\1", str(answer)) for answer in answers]
