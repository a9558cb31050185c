"""History of options on a real database: hand-made minutes in, hand-computed series out."""

import math
from collections.abc import Sequence
from datetime import date, timedelta

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.instruments import Instrument, InstrumentKind
from server.store.bars import BarStore
from server.store.database import Database
from server.store.option_minutes import OptionMinuteStore
from strikeline.v1 import option_history_pb2 as pb
from strikeline.v1 import option_pb2
from tests.support.api import NIFTY, RunningApi, add_instruments
from tests.support.market import bar, nanoseconds, option
from tests.support.option_minutes import contract, minute, strike

pytestmark = pytest.mark.stack

SERVICE = "/strikeline.v1.OptionService"
STRIKES = (24_900, 24_950, 25_000, 25_050, 25_100)
NEXT_WEEK = date(2025, 12, 2)
MINUTE = 60 * 10**9


def at(text: str) -> Timestamp:
    """An exchange time of 2025-11-10, or of the day given."""
    stamp = Timestamp()
    stamp.FromNanoseconds(nanoseconds(text if "T" in text else f"2025-11-10T{text}"))
    return stamp


@pytest.fixture
async def instruments(worker_db: Database) -> Sequence[Instrument]:
    """NIFTY, calls and puts of two expiries: numbers 1; 2 to 6, 7 to 11; then those of the next expiry."""
    sides = (InstrumentKind.CALL, InstrumentKind.PUT)
    options = [option(price, kind) for kind in sides for price in STRIKES]
    later = [option(price, kind, NEXT_WEEK) for kind in sides for price in STRIKES]
    return await add_instruments(worker_db, NIFTY, *options, *later)


def call_number(price: int) -> int:
    return 2 + STRIKES.index(price)


def put_number(price: int) -> int:
    return 7 + STRIKES.index(price)


async def save(database: Database, *minutes) -> None:
    async with database.transaction() as transaction:
        await OptionMinuteStore(database).save_minutes(transaction, minutes)


async def save_bars(database: Database, *rows: np.ndarray) -> None:
    async with database.transaction() as transaction:
        for row in rows:
            await BarStore(database).merge_bars(transaction, row)


def with_interest(instrument: int, opened: str, level: int, close: float = 100.0) -> np.ndarray:
    """A minute bar with open interest."""
    day = opened if "T" in opened else f"2025-11-10T{opened}"
    return bar(instrument, day, (close, close, close, close), open_interest=level)


async def ask(api: RunningApi, method: str, request):
    answer = await api.call(f"{SERVICE}/{method}", request, token=api.token())
    assert answer.code is grpc.StatusCode.OK, (answer.code, answer.info, answer.bad_request)
    return answer.message


async def refused(api: RunningApi, method: str, request) -> tuple[str, str]:
    answer = await api.call(f"{SERVICE}/{method}", request, token=api.token())
    return answer.info.reason, answer.bad_request.field_violations[0].field


def metrics_request(**fields) -> pb.ListExpiryMetricsRequest:
    given = {"underlying": "NIFTY", "expiry": "2025-11-25", "timeframe": "5min"} | fields
    return pb.ListExpiryMetricsRequest(**given)


async def test_metrics_of_a_bucket_are_those_of_its_last_minute(api, worker_db):
    years = 15 * 86_400 / (365 * 86_400)
    await save(
        worker_db,
        minute("2025-11-10T09:15:00", strike(25_000, contract(4, 3)), metrics={"pcr_oi": 0.80, "max_pain": 25_000.0}),
        minute(
            "2025-11-10T09:19:00",
            strike(25_000, contract(4, 3)),
            metrics={"pcr_oi": 0.85, "call_open_interest": 1_000_000.0, "put_open_interest": 850_000.0},
            years=years,
        ),
        minute("2025-11-10T09:20:00", strike(25_000, contract(4, 3)), metrics={"pcr_oi": 0.90}),
    )

    answer = await ask(api, "ListExpiryMetrics", metrics_request())

    assert (answer.underlying, answer.expiry, answer.timeframe) == ("NIFTY", "2025-11-25", "5min")
    assert [bucket.open_time for bucket in answer.buckets] == [at("09:15:00"), at("09:20:00")]
    metrics = answer.buckets[0].metrics
    assert (metrics.pcr_oi, metrics.call_open_interest, metrics.put_open_interest) == (0.85, 1_000_000, 850_000)
    assert not metrics.HasField("max_pain")
    assert (metrics.forward, metrics.forward_source, metrics.rate) == (25_040.0, 1, 0.065)
    assert metrics.as_of == at("15:30:00")


async def test_metrics_come_in_pages(api, worker_db):
    await save(
        worker_db,
        *(minute(f"2025-11-10T09:{number}:00", strike(25_000, contract(4, 1)), metrics={"pcr_oi": number / 100})
          for number in range(15, 20)),
    )  # fmt: skip
    found: list[float] = []
    token = ""
    for _ in range(3):
        page = await ask(api, "ListExpiryMetrics", metrics_request(timeframe="1min", page_size=2, page_token=token))
        found += [bucket.metrics.pcr_oi for bucket in page.buckets]
        token = page.next_page_token
    assert (found, token) == ([0.15, 0.16, 0.17, 0.18, 0.19], "")


async def test_a_span_of_metrics_begins_at_its_start_and_ends_before_its_end(api, worker_db):
    await save(
        worker_db, *(minute(f"2025-11-10T09:{number}:00", strike(25_000, contract(4, 1))) for number in (15, 16, 17))
    )
    request = metrics_request(timeframe="1min", start_time=at("09:16:00"), end_time=at("09:17:00"))
    answer = await ask(api, "ListExpiryMetrics", request)
    assert [bucket.open_time for bucket in answer.buckets] == [at("09:16:00")]


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"underlying": "NOSUCH"}, ("UNDERLYING_NOT_FOUND", "underlying")),
        ({"expiry": "2025-11-26"}, ("EXPIRY_NOT_FOUND", "expiry")),
        ({"timeframe": "7min"}, ("TIMEFRAME_UNKNOWN", "timeframe")),
        ({"page_token": "x"}, ("PAGE_TOKEN_INVALID", "page_token")),
    ],
)
async def test_wrong_requests_for_metrics(api, fields, refusal):
    assert await refused(api, "ListExpiryMetrics", metrics_request(**fields)) == refusal


def series_request(indicator: str, side: int = 0, **fields) -> pb.ListMoneynessSeriesRequest:
    given = {
        "underlying": "NIFTY",
        "expiries": ["2025-11-25"],
        "timeframe": "1min",
        "end_time": at("15:00:00"),
    } | fields
    code = option_pb2.OptionIndicator.Value(f"OPTION_INDICATOR_{indicator}")
    return pb.ListMoneynessSeriesRequest(indicator=code, option_type=side, **given)


def points(answer: pb.ListMoneynessSeriesResponse) -> dict[str, list[float]]:
    return {series.moneyness: [point.value for point in series.points] for series in answer.series}


async def test_the_money_moves_and_the_series_follows(api, worker_db):
    """At 09:15 the forward is 25,010: the call of 25,050 is OTM1. At 09:16 it is 25,060: that call is at the money."""
    rows = (
        strike(25_000, contract(call_number(25_000), 2, volatility=0.15)),
        strike(25_050, contract(call_number(25_050), 2, volatility=0.14)),
    )
    await save(
        worker_db,
        minute("2025-11-10T09:15:00", *rows, forward=25_010.0),
        minute("2025-11-10T09:16:00", *rows, forward=25_060.0),
    )
    answer = await ask(api, "ListMoneynessSeries", series_request("IMPLIED_VOLATILITY", option_pb2.OPTION_TYPE_CALL))
    assert points(answer) == {"ITM1": [0.15], "ATM": [0.15, 0.14], "OTM1": [0.14]}
    assert [series.level for series in answer.series] == [-1, 0, 1]
    assert list(answer.series[0].labels) == ["NWeek+0", "NMonth+0"]
    assert answer.series[0].points[0].open_time == at("09:16:00")


async def test_both_sides_stand_equally_far_out_of_the_money(api, worker_db):
    """OTM1 is the call of 25,050 (0.14) and the put of 24,950 (0.18): 0.16. ITM1 has a put alone, of 25,050: 0.17."""
    await save(
        worker_db,
        minute(
            "2025-11-10T09:15:00",
            strike(24_950, None, contract(put_number(24_950), 2, volatility=0.18)),
            strike(
                25_050,
                contract(call_number(25_050), 2, volatility=0.14),
                contract(put_number(25_050), 2, volatility=0.17),
            ),
            forward=25_000.0,
        ),
    )
    answer = await ask(api, "ListMoneynessSeries", series_request("IMPLIED_VOLATILITY"))
    assert points(answer) == {"ITM1": [0.17], "OTM1": [pytest.approx(0.16)]}


async def test_delta_of_both_sides_is_the_sum_of_sizes(api, worker_db):
    sides = (contract(call_number(25_000), 1, delta=0.52), contract(put_number(25_000), 1, delta=-0.48))
    await save(worker_db, minute("2025-11-10T09:15:00", strike(25_000, *sides), forward=25_000.0))
    answer = await ask(api, "ListMoneynessSeries", series_request("DELTA"))
    assert points(answer) == {"ATM": [pytest.approx(1.0)]}


async def test_open_interest_stays_until_it_changes(api, worker_db):
    """The put has 300 since 09:15; the call 100, then 150. Their ratio is 3, then 2."""
    await save(worker_db, *(minute(f"2025-11-10T09:{number}:00", forward=25_000.0) for number in (16, 17)))
    await save_bars(
        worker_db,
        with_interest(call_number(25_000), "09:16:00", 100),
        with_interest(call_number(25_000), "09:17:00", 150),
        with_interest(put_number(25_000), "09:15:00", 300),
    )
    total = await ask(api, "ListMoneynessSeries", series_request("OPEN_INTEREST"))
    ratio = await ask(api, "ListMoneynessSeries", series_request("PCR"))
    put = await ask(api, "ListMoneynessSeries", series_request("OPEN_INTEREST", option_pb2.OPTION_TYPE_PUT))
    assert (points(total), points(ratio), points(put)) == (
        {"ATM": [400, 450]}, {"ATM": [3, 2]}, {"ATM": [300, 300]},
    )  # fmt: skip


async def test_premium_against_a_flat_smile(api, worker_db):
    """All volatilities are 0.15, so the smile is flat. F = 25,000, K = 25,000, T = 0.04, r = 0:
    price = 25,000 · (2·N(0.15·√0.04 / 2) − 1) = 299.1955…; the call closed at 310, which is 10.8045 more."""
    numbers = [(price, call_number(price), put_number(price)) for price in STRIKES]
    rows = [
        strike(price, contract(call, 1, volatility=0.15), contract(put, 1, volatility=0.15))
        for price, call, put in numbers
    ]
    await save(worker_db, minute("2025-11-10T09:15:00", *rows, forward=25_000.0, rate=0.0))
    await save_bars(worker_db, with_interest(call_number(25_000), "09:15:00", 75, close=310.0))
    call = option_pb2.OPTION_TYPE_CALL
    premium = await ask(api, "ListMoneynessSeries", series_request("PREMIUM", call))
    absolute = await ask(api, "ListMoneynessSeries", series_request("PREMIUM_ABS", call))
    percent = await ask(api, "ListMoneynessSeries", series_request("PREMIUM_PCT"))
    assert points(premium) == {"ATM": [310.0]}
    assert points(absolute) == {"ATM": [pytest.approx(10.8045, abs=1e-3)]}
    assert points(percent) == {"ATM": [pytest.approx(10.8045 / 299.1955 * 100, abs=1e-3)]}


async def test_volume_of_a_larger_bucket_is_a_sum(api, worker_db):
    await save(worker_db, minute("2025-11-10T09:19:00", forward=25_000.0))
    first, second = call_number(25_000), put_number(25_000)
    await save_bars(
        worker_db,
        bar(first, "2025-11-10T09:15:00", (1, 1, 1, 1), cumulative_before=0, cumulative_max=75),
        bar(first, "2025-11-10T09:18:00", (1, 1, 1, 1), cumulative_before=75, cumulative_max=225),
        bar(second, "2025-11-10T09:18:00", (1, 1, 1, 1), cumulative_before=0, cumulative_max=50),
    )
    answer = await ask(api, "ListMoneynessSeries", series_request("VOLUME", timeframe="5min"))
    assert points(answer) == {"ATM": [275]}


async def test_the_nearest_two_expiries_are_the_default(api, worker_db):
    rows = strike(25_000, contract(4, 1, gamma=0.001))
    later = strike(25_000, contract(14, 1, gamma=0.002))
    await save(
        worker_db,
        minute("2025-11-10T09:15:00", rows, forward=25_000.0),
        minute("2025-11-10T09:15:00", later, forward=25_000.0, expiry=NEXT_WEEK),
    )
    answer = await ask(api, "ListMoneynessSeries", series_request("GAMMA", expiries=[]))
    assert [(series.expiry, series.points[0].value) for series in answer.series] == [
        ("2025-11-25", 0.001),
        ("2025-12-02", 0.002),
    ]


async def test_series_come_in_pages_of_whole_buckets(api, worker_db):
    """3 levels make 3 points a bucket: a page of 7 has 2 buckets."""
    rows = strike(25_000, contract(4, 1, theta=-8.0))
    await save(worker_db, *(minute(f"2025-11-10T09:{number}:00", rows, forward=25_000.0) for number in (15, 16, 17)))
    asked = {"max_level": 1, "page_size": 7}
    first = await ask(api, "ListMoneynessSeries", series_request("DECAY", **asked))
    second = await ask(api, "ListMoneynessSeries", series_request("DECAY", page_token=first.next_page_token, **asked))
    times = [[point.open_time for point in page.series[0].points] for page in (first, second)]
    assert times == [[at("09:15:00"), at("09:16:00")], [at("09:17:00")]]
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (series_request("MAX_PAIN"), ("VALIDATION_FAILED", "indicator")),
        (series_request("PCR", option_pb2.OPTION_TYPE_CALL), ("VALIDATION_FAILED", "option_type")),
        (series_request("GAMMA", expiries=["2025-11-25", "NMonth+7"]), ("EXPIRY_NOT_FOUND", "expiries[1]")),
        (series_request("GAMMA", timeframe="2min"), ("TIMEFRAME_UNKNOWN", "timeframe")),
        (series_request("GAMMA", underlying="NOSUCH"), ("UNDERLYING_NOT_FOUND", "underlying")),
    ],
)
async def test_wrong_requests_for_series(api, request_, refusal):
    assert await refused(api, "ListMoneynessSeries", request_) == refusal


def history_request(**fields) -> pb.ListStrikeHistoryRequest:
    given = {"underlying": "NIFTY", "expiry": "2025-11-25", "strike": 25_000, "timeframe": "1min"} | fields
    return pb.ListStrikeHistoryRequest(**given)


async def test_prices_and_figures_of_both_sides_stand_side_by_side(api, worker_db):
    call = contract(call_number(25_000), 4, volatility=0.14, delta=0.52, charm=0.01, spread=0.5, score=88.0)
    await save(worker_db, minute("2025-11-10T09:15:00", strike(25_000, call)))
    await save_bars(
        worker_db,
        bar(call_number(25_000), "2025-11-10T09:15:00", (182.5, 185, 180.05, 184), open_interest=900,
            cumulative_before=0, cumulative_max=750),
        with_interest(put_number(25_000), "09:16:00", 400, close=140.0),
    )  # fmt: skip

    answer = await ask(api, "ListStrikeHistory", history_request())

    assert (answer.call_instrument, answer.put_instrument) == ("NFO:NIFTY25NOV25000CE", "NFO:NIFTY25NOV25000PE")
    first, second = answer.buckets
    assert (first.open_time, first.spot, first.forward, first.closed) == (at("09:15:00"), 25_000.0, 25_040.0, True)
    assert (first.call.open, first.call.high, first.call.low, first.call.close) == (182.5, 185, 180.05, 184)
    assert (first.call.volume, first.call.open_interest, first.call.samples) == (750, 900, 4)
    figure = first.call.implied_volatility
    assert (figure.mean, figure.last, figure.count) == (pytest.approx(0.14), 0.14, 4)
    assert (first.call.theta.count, first.call.theta.HasField("mean")) == (0, False)
    assert (first.call.greeks.delta, first.call.greeks.charm) == (0.52, 0.01)
    assert (first.call.liquidity.spread, first.call.liquidity.score) == (0.5, 88.0)
    assert not first.HasField("put")
    assert (second.put.close, second.put.samples, second.HasField("call")) == (140.0, 0, False)


async def test_changes_of_open_interest(api, worker_db):
    """Friday closes at 1,000. On Monday 1,100 at 09:15, 1,250 at 10:14, 1,500 at 10:15."""
    number = call_number(25_000)
    await save_bars(
        worker_db,
        with_interest(number, "2025-11-07T15:29:00", 1_000),
        with_interest(number, "09:15:00", 1_100),
        with_interest(number, "10:14:00", 1_250),
        with_interest(number, "10:15:00", 1_500),
    )
    answer = await ask(api, "ListStrikeHistory", history_request(start_time=at("10:14:00")))
    changes = [
        (bucket.call.oi_change, bucket.call.oi_change_pct, bucket.call.window_oi_change) for bucket in answer.buckets
    ]
    # At 10:14 the last bucket an hour or longer before is Friday's; at 10:15 it is that of 09:15.
    assert changes == [(250, pytest.approx(25), 250), (500, pytest.approx(50), 400)]
    assert answer.buckets[1].call.window_oi_change_pct == pytest.approx(400 / 1_100 * 100)


async def test_without_the_day_before_there_is_no_change(api, worker_db):
    number = call_number(25_000)
    await save_bars(
        worker_db, with_interest(number, "2025-11-06T15:29:00", 1_000), with_interest(number, "09:15:00", 1_100)
    )
    answer = await ask(api, "ListStrikeHistory", history_request(start_time=at("09:00:00")))
    (bucket,) = answer.buckets
    assert not bucket.call.HasField("oi_change")
    assert not bucket.call.HasField("oi_change_pct")


async def test_a_history_comes_in_pages_over_prices_and_figures(api, worker_db):
    number = call_number(25_000)
    await save(
        worker_db,
        *(minute(f"2025-11-10T09:{at_}:00", strike(25_000, contract(number, 1, delta=0.5))) for at_ in (15, 18)),
    )
    await save_bars(worker_db, *(with_interest(number, f"09:{at_}:00", 100) for at_ in (16, 18, 19)))
    seen: list[tuple[Timestamp, int, int]] = []
    token = ""
    for _ in range(2):
        page = await ask(api, "ListStrikeHistory", history_request(page_size=2, page_token=token))
        seen += [(bucket.open_time, bucket.call.open_interest, bucket.call.samples) for bucket in page.buckets]
        token = page.next_page_token
    assert seen == [
        (at("09:15:00"), 0, 1), (at("09:16:00"), 100, 0), (at("09:18:00"), 100, 1), (at("09:19:00"), 100, 0),
    ]  # fmt: skip
    assert token == ""


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"strike": 25_025}, ("INSTRUMENT_NOT_FOUND", "strike")),
        ({"expiry": "2024-01-01"}, ("EXPIRY_NOT_FOUND", "expiry")),
        ({"timeframe": "10min"}, ("TIMEFRAME_UNKNOWN", "timeframe")),
        ({"underlying": "NOSUCH"}, ("UNDERLYING_NOT_FOUND", "underlying")),
    ],
)
async def test_wrong_requests_for_a_strike(api, fields, refusal):
    assert await refused(api, "ListStrikeHistory", history_request(**fields)) == refusal


def greeks_request(time: str, **fields) -> pb.GetGreeksAtRequest:
    return pb.GetGreeksAtRequest(instrument="NFO:NIFTY25NOV25000CE", time=at(time), **fields)


@pytest.fixture
async def valued(worker_db: Database, instruments: Sequence[Instrument]) -> None:
    """The call was valued in the minutes of 09:15 and 09:16, and traded in the first of them."""
    number = call_number(25_000)
    await save(
        worker_db,
        minute("2025-11-10T09:15:00", strike(25_000, contract(number, 1, volatility=0.14, delta=0.52))),
        minute("2025-11-10T09:16:00", strike(25_000, contract(number, 1, volatility=0.15, delta=0.53)), years=0.039),
    )
    await save_bars(worker_db, with_interest(number, "09:15:00", 900, close=184.0))


@pytest.mark.usefixtures("valued")
async def test_greeks_at_a_time_know_nothing_of_what_came_later(api):
    """At 09:16:59 the minute of 09:16 is not over."""
    moment = await ask(api, "GetGreeksAt", greeks_request("09:16:59"))
    assert (moment.open_time, moment.implied_volatility, moment.greeks.delta) == (at("09:15:00"), 0.14, 0.52)
    assert (moment.last_price, moment.open_interest) == (184.0, 900)
    assert (moment.underlying, moment.expiry, moment.strike, moment.option_type) == (
        "NIFTY", "2025-11-25", 25_000, option_pb2.OPTION_TYPE_CALL,
    )  # fmt: skip


@pytest.mark.usefixtures("valued")
async def test_greeks_say_what_they_rest_on(api):
    moment = await ask(api, "GetGreeksAt", greeks_request("09:17:00"))
    basis = moment.basis
    assert (moment.open_time, moment.greeks.delta, basis.years_to_expiry) == (at("09:16:00"), 0.53, 0.039)
    assert (basis.spot, basis.forward, basis.model) == (25_000.0, 25_040.0, option_pb2.PRICING_MODEL_BLACK_76)
    assert basis.greeks_reference == option_pb2.GREEKS_REFERENCE_SPOT
    assert not moment.HasField("last_price")
    assert not moment.greeks.HasField("gamma")


@pytest.mark.usefixtures("valued")
@pytest.mark.parametrize(("time", "found"), [("09:27:00", True), ("09:27:01", False)])
async def test_a_valuation_may_be_so_old_and_no_older(api, time, found):
    """That of 09:16 was over at 09:17: ten minutes later it is ten minutes old."""
    request = greeks_request(time)
    request.max_age.FromTimedelta(timedelta(minutes=10))
    moment = await ask(api, "GetGreeksAt", request)
    parts = ("open_time", "basis", "greeks", "implied_volatility")
    assert (moment.strike, [moment.HasField(part) for part in parts]) == (25_000, [found] * 4)


async def test_greeks_of_an_index_are_refused(api):
    request = pb.GetGreeksAtRequest(instrument="NSE:NIFTY 50", time=at("09:17:00"))
    assert await refused(api, "GetGreeksAt", request) == ("VALIDATION_FAILED", "instrument")


async def test_greeks_without_time_need_market_time(api):
    answer = await api.call(
        f"{SERVICE}/GetGreeksAt", pb.GetGreeksAtRequest(instrument="NFO:NIFTY25NOV25000CE"), token=api.token()
    )
    assert (answer.code, answer.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MARKET_TIME_UNKNOWN")


def test_the_hand_computed_premium():
    """What the test of premiums rests on, by the error function alone."""
    assert 25_000 * math.erf(0.15 * 0.2 / 2 / 2**0.5) == pytest.approx(299.1955, abs=1e-4)
