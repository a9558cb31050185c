"""Recorded futures through feed, log, worker, database and api, beside computations by hand in decimals and pandas."""

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import CollectorRegistry

from server.market.feeds.run import FeedConfig, run_feed
from server.market.worker import Worker
from server.settings import Settings
from server.store.calendar import CalendarStore
from server.store.market_log import MarketLog
from strikeline.v1 import expiry_metrics_pb2, futures_pb2, option_chain_requests_pb2
from strikeline.v1 import futures_requests_pb2 as pb
from tests.support.market import nanoseconds
from tests.support.progress import committed
from tests.support.waiting import eventually

pytestmark = pytest.mark.stack

SERVICE = "/strikeline.v1.FuturesService/"
EXACT = {"rel": 1e-9, "abs": 1e-9}


@dataclass(frozen=True)
class Row:
    """A future of a daily file: the price that it ended the day at, open interest and volume in units."""

    expiry: date
    price: Decimal
    interest: int
    volume: int


def lines_of(path: Path) -> list[dict[str, str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return list(csv.DictReader(text.splitlines()))


def of_2024(folder: Path) -> dict[str, list[Row]]:
    """Open interest comes in contracts; units over trades are the lot, also for a contract without a trade."""
    found: dict[str, list[Row]] = defaultdict(list)
    lines = lines_of(folder / "nse_bhavcopy" / "futures_2024-07-19_index_and_stocks_A-L.csv")
    lots = {
        line["SYMBOL"]: int(line["TRADED_QUA"]) // int(line["TRD_NO_CON"]) for line in lines if int(line["TRD_NO_CON"])
    }
    for line in lines:
        price = Decimal(line["CLOSE_PRIC"] or line["SETTLEMENT"])
        interest = int(line["OI_NO_CON"]) * lots[line["SYMBOL"]]
        found[line["SYMBOL"]].append(Row(date.fromisoformat(line["EXPIRY"]), price, interest, int(line["TRADED_QUA"])))
    return found


def of_2019(folder: Path) -> dict[str, list[Row]]:
    """Open interest comes in units; the day's volume is left out here."""
    found: dict[str, list[Row]] = defaultdict(list)
    path = folder / "nse_bhavcopy" / "fo_bhav_old_format_2019-08-01_first_1000_rows.csv"
    for line in lines_of(path):
        if line["INSTRUMENT"].startswith("FUT"):
            expiry = datetime.strptime(line["EXPIRY_DT"], "%d-%b-%Y").date()  # noqa: DTZ007
            traded = float(line["CONTRACTS"]) > 0
            price = Decimal(line["CLOSE"] if traded else line["SETTLE_PR"])
            found[line["SYMBOL"]].append(Row(expiry, price, int(float(line["OPEN_INT"])), -1))
    return found


@pytest.fixture
def replay(worker_db, redis, namespace):
    """`await replay(path, …)` replays files beside a worker until it has committed them."""

    async def run(*paths: Path) -> None:
        settings = Settings(namespace=namespace, instance="recorded", commit_interval=0.05)
        log, calendar = MarketLog(redis, namespace), await CalendarStore(worker_db).load("NSE")
        async with Worker(settings, worker_db, redis, {"NSE": calendar}):
            config = FeedConfig("replay", tuple(map(str, paths)), speed=None)
            await run_feed(config, settings=settings, database=worker_db, log=log, registry=CollectorRegistry())
            await committed(worker_db, await log.last_id(), settings, 60)

    return run


def at(text: str) -> Timestamp:
    return Timestamp(seconds=nanoseconds(text) // 10**9)


async def ask(api, method: str, request):
    answer = await api.call(SERVICE + method, request, token=api.token())
    assert answer.message is not None, answer
    return answer.message


def percent(part: Decimal, whole: Decimal) -> float:
    return float(part / whole * 100)


RECORDED = [
    ("nse_bhavcopy/futures_2024-07-19_index_and_stocks_A-L.csv", of_2024, date(2024, 7, 19), 118),
    ("nse_bhavcopy/fo_bhav_old_format_2019-08-01_first_1000_rows.csv", of_2019, date(2019, 8, 1), 164),
]


@pytest.mark.parametrize(("name", "read", "day", "underlyings"), RECORDED)
async def test_rollover_of_every_underlying_equals_a_computation_by_hand(
    shared_data: Path, api, replay, name: str, read: Callable, day: date, underlyings: int
) -> None:
    await replay(shared_data / name)
    evening = at(f"{day}T15:30:00")

    expected = read(shared_data)
    for underlying, rows in expected.items():
        rows.sort(key=lambda row: row.expiry)
        request = pb.GetRolloverMetricsRequest(underlying=underlying, as_of=evening)
        found = await ask(api, "GetRolloverMetrics", request)

        total = sum(row.interest for row in rows)
        near, following = rows[:2]
        assert [row.quote.expiry for row in found.expiries] == [row.expiry.isoformat() for row in rows]
        assert [row.quote.open_interest for row in found.expiries] == [row.interest for row in rows]
        assert (found.total_open_interest, found.stale) == (total, False)
        assert found.open_interest_unit == futures_pb2.OPEN_INTEREST_UNIT_UNITS
        behind = percent(Decimal(total - near.interest), Decimal(total))
        assert found.rollover_percent == pytest.approx(behind, **EXACT)
        cost = percent(following.price - near.price, near.price)
        assert found.rollover_cost_percent == pytest.approx(cost, **EXACT)
        shares = [percent(Decimal(row.interest), Decimal(total)) for row in rows]
        assert [row.share_percent for row in found.expiries] == pytest.approx(shares, **EXACT)
        assert sum(row.share_percent for row in found.expiries) == pytest.approx(100.0, rel=1e-12)
    assert len(expected) == underlyings


@pytest.mark.parametrize(("name", "read", "day", "underlyings"), RECORDED)
async def test_carry_of_every_underlying_equals_a_computation_by_hand(
    shared_data: Path, api, replay, name: str, read: Callable, day: date, underlyings: int
) -> None:
    await replay(shared_data / name)
    evening = at(f"{day}T15:30:00")

    expected = read(shared_data)
    for underlying, rows in expected.items():
        rows.sort(key=lambda row: row.expiry)
        found = await ask(api, "GetTermStructure", pb.GetTermStructureRequest(underlying=underlying, as_of=evening))

        assert [point.quote.days_to_expiry for point in found.points] == [(row.expiry - day).days for row in rows]
        assert [point.quote.last_price for point in found.points] == [float(round(row.price, 4)) for row in rows]
        assert not found.points[0].HasField("calendar_spread")
        for before, row, point in zip(rows, rows[1:], found.points[1:], strict=False):
            days = (row.expiry - before.expiry).days
            step = percent(row.price - before.price, before.price)
            assert point.calendar_spread.absolute == pytest.approx(float(row.price - before.price), abs=1e-8)
            assert point.calendar_spread.percent == pytest.approx(step, **EXACT)
            assert point.calendar_spread.carry_percent == pytest.approx(step * 365 / days, **EXACT)
            rate = math.log(row.price / before.price) * 365 / days
            assert point.calendar_spread.carry_rate == pytest.approx(rate, **EXACT)
        assert not found.HasField("spot")
    assert len(expected) == underlyings


async def test_volumes_are_units_of_the_day(shared_data: Path, api, replay) -> None:
    await replay(shared_data / RECORDED[0][0])

    for underlying, rows in of_2024(shared_data).items():
        request = pb.GetTermStructureRequest(underlying=underlying, as_of=at("2024-07-19T15:30:00"))
        found = await ask(api, "GetTermStructure", request)
        volumes = [row.volume for row in sorted(rows, key=lambda row: row.expiry)]
        assert [point.quote.volume for point in found.points] == volumes


def spot_of_minute(folder: Path, name: str, day: str) -> Decimal:
    lines = lines_of(folder / "minute" / f"{name}_1min_2024-07-15_to_08-02.csv.gz")
    return Decimal(next(line["close"] for line in lines if line["ts"].startswith(f"{day}T15:29")))


def spot_of_day(folder: Path, symbol: str, day: str) -> Decimal:
    lines = lines_of(folder / "eod" / "nse_eod_unadjusted_2019-10_to_2026-08.csv.gz")
    return next(Decimal(line["close"]) for line in lines if (line["date"], line["symbol"]) == (day, symbol))


def spot_of_page(folder: Path, symbol: str) -> Decimal:
    lines = lines_of(folder / "nse_option_chain" / "snapshots_2019" / f"{symbol}_2019-08-01.csv.gz")
    in_session = [line for line in lines if line["snapshot_ist"][11:16] < "15:30" and line["underlying"]]
    return Decimal(max(in_session, key=lambda line: line["snapshot_ist"])["underlying"])


async def check_basis(api, underlying: str, rows: list[Row], spot: Decimal, day: date) -> None:
    request = pb.GetTermStructureRequest(underlying=underlying, as_of=at(f"{day}T15:30:00"))
    found = await ask(api, "GetTermStructure", request)

    assert found.spot.price == float(spot)
    assert len(found.points) == len(rows)
    for row, point in zip(sorted(rows, key=lambda row: row.expiry), found.points, strict=True):
        days, difference = (row.expiry - day).days, row.price - spot
        assert point.basis.absolute == pytest.approx(float(difference), abs=1e-8)
        assert point.basis.percent == pytest.approx(percent(difference, spot), **EXACT)
        assert point.basis.carry_percent == pytest.approx(percent(difference, spot) * 365 / days, **EXACT)
        assert point.basis.carry_rate == pytest.approx(math.log(row.price / spot) * 365 / days, **EXACT)
        premium, discount = futures_pb2.BASIS_STATE_PREMIUM, futures_pb2.BASIS_STATE_DISCOUNT
        assert point.basis.state == (premium if difference > 0 else discount)


async def test_basis_of_2024_against_recorded_minutes_and_days(shared_data: Path, api, replay) -> None:
    minutes = [shared_data / "minute" / f"{name}_1min_2024-07-15_to_08-02.csv.gz" for name in ("NIFTY50", "BANKNIFTY")]
    days = shared_data / "eod" / "nse_eod_unadjusted_2019-10_to_2026-08.csv.gz"
    await replay(shared_data / RECORDED[0][0], days, *minutes)
    rows, day = of_2024(shared_data), date(2024, 7, 19)

    for underlying, name in (("NIFTY", "NIFTY50"), ("BANKNIFTY", "BANKNIFTY")):
        await check_basis(api, underlying, rows[underlying], spot_of_minute(shared_data, name, str(day)), day)
    for symbol in ("BAJFINANCE", "HDFCBANK", "INFY"):
        await check_basis(api, symbol, rows[symbol], spot_of_day(shared_data, symbol, str(day)), day)


async def test_basis_of_2019_against_the_exchanges_page(shared_data: Path, api, replay) -> None:
    pages = [
        shared_data / "nse_option_chain" / "snapshots_2019" / f"{name}_2019-08-01.csv.gz"
        for name in ("NIFTY", "BANKNIFTY")
    ]
    await replay(shared_data / RECORDED[1][0], *pages)
    rows = of_2019(shared_data)

    for underlying in ("NIFTY", "BANKNIFTY"):
        await check_basis(api, underlying, rows[underlying], spot_of_page(shared_data, underlying), date(2019, 8, 1))


async def test_basis_of_the_common_bhavcopy_against_its_cash_file(shared_data: Path, api, replay) -> None:
    folder, day = shared_data / "nse_bhavcopy", date(2026, 5, 19)
    derivatives, cash = (
        folder / "UDiFF_FO_2026-05-19_ABCAPITAL_excerpt_raw.csv",
        folder / "UDiFF_CM_2026-05-19_raw.csv.gz",
    )
    await replay(derivatives, cash)

    spot = next(
        Decimal(line["ClsPric"])
        for line in lines_of(cash)
        if (line["TckrSymb"], line["SctySrs"]) == ("ABCAPITAL", "EQ")
    )
    future = Row(date(2026, 7, 28), Decimal("357.15"), 124_000, 6_200)
    await check_basis(api, "ABCAPITAL", [future], spot, day)


async def test_after_a_replayed_day_its_files_are_what_is_known_now(shared_data: Path, api, replay) -> None:
    await replay(shared_data / RECORDED[1][0])
    await eventually(api.app.hub.market_time)

    found = await ask(api, "GetFuturesSummary", pb.GetFuturesSummaryRequest(underlying="YESBANK"))

    price = float(of_2019(shared_data)["YESBANK"][0].price)
    assert (found.near.instrument, found.near.last_price) == ("NFO:YESBANK19AUGFUT", price)
    assert (found.as_of, found.near.price_time) == (at("2019-08-01T15:30:00"), at("2019-08-01T15:30:00"))
    assert (found.lot_size, found.active_contracts, found.stale) == (2_200, 3, True)


async def test_options_of_a_daily_file_are_valued_as_a_chain(shared_data: Path, api, replay) -> None:
    path = shared_data / "nse_bhavcopy" / "NIFTY_options_2025-08-14.csv.gz"
    await replay(path)
    table = pd.read_csv(path)
    rows = table[table["EXPIRY_DT"] == "2025-08-28"]
    interest = rows.groupby("OPTION_TYP")["OPEN_INT"].sum()
    method = "/strikeline.v1.OptionService/GetExpiryMetrics"
    request = option_chain_requests_pb2.GetExpiryMetricsRequest(underlying="NIFTY", expiry="2025-08-28")

    async def look() -> object:
        return (await api.call(method, request, token=api.token())).message

    metrics = await eventually(look)

    assert isinstance(metrics, expiry_metrics_pb2.ExpiryMetrics)
    assert metrics.call_open_interest == interest["CE"]
    assert metrics.put_open_interest == interest["PE"]
    assert metrics.pcr_oi == pytest.approx(interest["PE"] / interest["CE"])
    assert metrics.spot == 24_631.3


SIGNALS = {
    (1, 1): futures_pb2.POSITION_SIGNAL_LONG_BUILDUP,
    (-1, 1): futures_pb2.POSITION_SIGNAL_SHORT_BUILDUP,
    (-1, -1): futures_pb2.POSITION_SIGNAL_LONG_UNWINDING,
    (1, -1): futures_pb2.POSITION_SIGNAL_SHORT_COVERING,
}


async def test_signals_of_recorded_half_hours_equal_pandas(shared_data: Path, api, replay) -> None:
    path = shared_data / "minute" / "NIFTY_APR2026_FUT_30min_with_oi_kite.json"
    await replay(path)
    names = ["time", "open", "high", "low", "close", "volume", "oi"]
    candles = pd.DataFrame(pd.read_json(path)["data"]["candles"], columns=names)
    moves = candles[["close", "oi"]].pct_change() * 100
    words = [
        SIGNALS[(1 if price > 0 else -1, 1 if interest > 0 else -1)]
        if abs(price) > 0.1 and abs(interest) > 0.1
        else futures_pb2.POSITION_SIGNAL_NEUTRAL
        for price, interest in moves.iloc[1:].itertuples(index=False)
    ]

    request = pb.ListPositionSignalsRequest(
        underlying="NIFTY", instruments=["NFO:NIFTY26APRFUT"], timeframe="30min", page_size=1_000
    )
    found = (await ask(api, "ListPositionSignals", request)).signals

    assert [row.close for row in found] == candles["close"].tolist()
    assert [row.open_interest for row in found] == candles["oi"].tolist()
    assert not found[0].HasField("price_change_percent")
    assert found[0].signal == futures_pb2.POSITION_SIGNAL_UNSPECIFIED
    assert [row.signal for row in found[1:]] == words
    assert [row.price_change_percent for row in found[1:]] == pytest.approx(moves["close"].tolist()[1:], **EXACT)
    assert [row.open_interest_change_percent for row in found[1:]] == pytest.approx(moves["oi"].tolist()[1:], **EXACT)
    strengths = (moves["close"].abs() * moves["oi"].abs()).tolist()[1:]
    assert [row.strength for row in found[1:]] == pytest.approx(strengths, **EXACT)
    assert len(found) == 494
