"""Figures of options by their distance from the money on a real database: hand-made minutes, hand-computed series."""

import math
from collections.abc import Sequence

import pytest

from server.domain.instruments import Instrument
from server.store.database import Database
from strikeline.v1 import moneyness_series_pb2, option_pb2
from tests.support.market import bar
from tests.support.option_history import (
    NEXT_WEEK,
    STRIKES,
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


def series_request(indicator: str, side: int = 0, **fields) -> moneyness_series_pb2.ListMoneynessSeriesRequest:
    given = {
        "underlying": "NIFTY",
        "expiries": ["2025-11-25"],
        "timeframe": "1min",
        "end_time": at("15:00:00"),
    } | fields
    code = option_pb2.OptionIndicator.Value(f"OPTION_INDICATOR_{indicator}")
    return moneyness_series_pb2.ListMoneynessSeriesRequest(indicator=code, option_type=side, **given)


def points(answer: moneyness_series_pb2.ListMoneynessSeriesResponse) -> dict[str, list[float]]:
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


async def test_an_answer_says_what_its_points_and_their_money_rest_on(api, worker_db):
    rows = strike(25_000, contract(call_number(25_000), 2, volatility=0.15))
    years = (at("2025-11-25T15:30:00").seconds - at("09:16:30").seconds) / (365 * 86_400)
    await save(
        worker_db,
        minute("2025-11-10T09:15:00", rows, forward=25_010.0),
        minute("2025-11-10T09:16:00", rows, spot=None, forward=25_020.0, years=years),
        minute("2025-11-10T09:17:00", strike(25_000), forward=25_030.0),
    )

    answer = await ask(api, "ListMoneynessSeries", series_request("IMPLIED_VOLATILITY", end_time=at("09:17:00")))

    first, second = answer.valuations
    assert (answer.stale, answer.HasField("as_of")) == (True, False)
    assert [(item.expiry, item.open_time) for item in answer.valuations] == [
        ("2025-11-25", at("09:15:00")), ("2025-11-25", at("09:16:00")),
    ]  # fmt: skip
    assert (first.basis.spot, first.basis.forward) == (25_000.0, 25_010.0)
    assert first.basis.greeks_reference == option_pb2.GREEKS_REFERENCE_SPOT
    assert (second.as_of, second.basis.years_to_expiry, second.basis.rate) == (at("09:16:30"), years, 0.065)
    assert (second.basis.forward_source, second.basis.HasField("spot")) == (
        option_pb2.FORWARD_SOURCE_LISTED_FUTURE, False,
    )  # fmt: skip
    assert second.basis.greeks_reference == option_pb2.GREEKS_REFERENCE_FORWARD


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


def test_the_hand_computed_premium():
    """What the test of premiums rests on, by the error function alone."""
    assert 25_000 * math.erf(0.15 * 0.2 / 2 / 2**0.5) == pytest.approx(299.1955, abs=1e-4)
