"""History of expiries, strikes and contracts on a real database: hand-made minutes in, hand-computed series out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.instruments import Instrument
from server.domain.options.forward import Forward, ForwardSource
from server.store.database import Database
from server.store.rollups import RollupStore
from strikeline.v1 import option_history_pb2 as pb
from strikeline.v1 import option_pb2
from tests.support.market import bar
from tests.support.option_history import (
    SERVICE,
    add_options,
    ask,
    at,
    call_number,
    put_number,
    refused,
    save,
    save_bars,
    with_interest,
)
from tests.support.option_minutes import contract, minute, strike

pytestmark = pytest.mark.stack


@pytest.fixture
async def instruments(worker_db: Database) -> Sequence[Instrument]:
    return await add_options(worker_db)


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
    assert (metrics.as_of, metrics.greeks_reference) == (at("15:30:00"), option_pb2.GREEKS_REFERENCE_SPOT)
    assert (answer.stale, answer.HasField("as_of")) == (True, False)


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


def years_until_expiry(time: str) -> float:
    """From a time of 2025-11-10 to 15:30 of 2025-11-25."""
    return (at("2025-11-25T15:30:00").seconds - at(time).seconds) / (365 * 86_400)


@pytest.mark.parametrize(("timeframe", "rolled"), [("1min", False), ("5min", False), ("5min", True), ("1day", True)])
async def test_a_bucket_says_what_its_figures_rest_on(api, worker_db, timeframe, rolled):
    """The put was valued in the last minute, the call was not."""
    sides = [contract(number(25_000), 1, volatility=0.14, delta=0.5) for number in (call_number, put_number)]
    early = minute("2025-11-10T09:15:00", strike(25_000, *sides), spot=24_990.0, years=years_until_expiry("09:15:59"))
    late = minute(
        "2025-11-10T09:19:00", strike(25_000, None, sides[1]), rate=0.07, years=years_until_expiry("09:19:40")
    )
    late = replace(late, dividend_yield=0.01, forward=Forward(25_030.0, ForwardSource.PARITY_SYNTHETIC, 25_000.0))
    await save(worker_db, early, late)
    if rolled:
        await RollupStore(worker_db).roll_up()

    answer = await ask(api, "ListStrikeHistory", history_request(timeframe=timeframe))

    bucket = answer.buckets[-1]
    assert (bucket.as_of, bucket.spot, bucket.forward) == (at("09:19:40"), 25_000.0, 25_030.0)
    assert bucket.basis == option_pb2.ValuationBasis(
        model=option_pb2.PRICING_MODEL_BLACK_76,
        spot=25_000.0,
        forward=25_030.0,
        forward_source=option_pb2.FORWARD_SOURCE_PARITY_SYNTHETIC,
        forward_strike=25_000.0,
        rate=0.07,
        dividend_yield=0.01,
        years_to_expiry=years_until_expiry("09:19:40"),
        day_count=option_pb2.DAY_COUNT_ACT_365,
        greeks_reference=option_pb2.GREEKS_REFERENCE_SPOT,
    )
    metrics = (await ask(api, "ListExpiryMetrics", metrics_request(timeframe=timeframe))).buckets[-1].metrics
    assert {field.name: getattr(metrics, field.name) for field, _ in bucket.basis.ListFields()} == {
        field.name: value for field, value in bucket.basis.ListFields()
    }
    assert (metrics.as_of, answer.stale) == (bucket.as_of, True)


async def test_a_bucket_that_only_traded_rests_on_nothing(api, worker_db):
    await save_bars(worker_db, with_interest(call_number(25_000), "09:15:00", 1_000))

    (bucket,) = (await ask(api, "ListStrikeHistory", history_request())).buckets

    assert [bucket.HasField(name) for name in ("basis", "as_of", "spot", "forward")] == [False] * 4


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
        minute(
            "2025-11-10T09:15:00", strike(25_000, contract(number, 1, open_interest=900, volatility=0.14, delta=0.52))
        ),
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


@pytest.mark.parametrize(("time", "stale"), [("09:21:00", False), ("09:21:01", True), ("10:00:00", True)])
async def test_greeks_tell_when_they_were_valued_and_whether_that_is_long_ago(api, worker_db, time, stale):
    """Prices stay fresh for 300 seconds: what was valued at 09:16:00 is old after 09:21:00."""
    valued = strike(25_000, contract(call_number(25_000), 1, volatility=0.14))
    await save(worker_db, minute("2025-11-10T09:16:00", valued, years=years_until_expiry("09:16:00")))

    moment = await ask(api, "GetGreeksAt", greeks_request(time))

    known = time != "10:00:00"
    assert (moment.HasField("as_of"), moment.stale) == (known, stale)
    assert moment.as_of == (at("09:16:00") if known else Timestamp())


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
