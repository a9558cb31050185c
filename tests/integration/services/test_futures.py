"""FuturesService on a real database and Redis, live and of the past."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain.instruments import InstrumentKind, NewInstrument
from server.domain.prices import ABSENT, scale_price
from server.domain.timeframes import Timeframe
from server.store.bars import BarStore
from server.store.instruments import InstrumentStore
from server.store.records import IN_CONTRACTS, LARGER_BAR, STORED_BAR
from strikeline.v1 import futures_pb2
from strikeline.v1 import futures_requests_pb2 as pb
from tests.support.market import nanoseconds
from tests.support.waiting import eventually

pytestmark = pytest.mark.stack

SERVICE = "/strikeline.v1.FuturesService/"
MINUTE = 60 * 10**9
OPEN = nanoseconds("2025-11-24T09:15:00")
DAY = Timeframe.parse("1day")


def future(symbol: str, expiry: date, underlying: str = "RELIANCE") -> NewInstrument:
    return NewInstrument(
        exchange="NFO", tradingsymbol=symbol, kind=InstrumentKind.FUTURE, name=underlying, segment="NFO-FUT",
        underlying=underlying, expiry=expiry, lot_size=500, tick_size=Decimal("0.1"), provenance="kite",
    )  # fmt: skip


NEAR = future("RELIANCE25NOVFUT", date(2025, 11, 25))
NEXT = future("RELIANCE25DECFUT", date(2025, 12, 30))
FAR = future("RELIANCE26JANFUT", date(2026, 1, 27))


@pytest.fixture
async def futures(worker_db, instruments):
    """Near, next and far; the share is `instruments[1]`."""
    return await InstrumentStore(worker_db).upsert([NEAR, NEXT, FAR])


def minute(instrument, opened: str, price: str, interest: int = ABSENT, volume: int = 10):
    """A stored minute at one price."""
    start, scaled = nanoseconds(opened), scale_price(price)
    return (
        instrument.instrument_id, 2, start, scaled, scaled, scaled, scaled, interest,
        start, 1, start, 1, 1_000 + volume, 1_000,
    )  # fmt: skip


async def store(worker_db, *rows) -> None:
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).merge_bars(transaction, np.array(list(rows), STORED_BAR))


async def store_day(worker_db, instrument, day: str, price: str, interest: int, source: str = "replay") -> None:
    scaled = scale_price(price)
    row = (instrument.instrument_id, 0, nanoseconds(f"{day}T00:00:00"), scaled, scaled, scaled, scaled, 500, interest)
    async with worker_db.transaction() as transaction:
        await BarStore(worker_db).store_larger(transaction, DAY, source, np.array([row], LARGER_BAR))


def at(text: str) -> Timestamp:
    return Timestamp(seconds=nanoseconds(text) // 10**9)


async def heard(api, market_time: int) -> None:
    await eventually(lambda: api.app.hub.market_time() >= market_time)


async def ask(api, method: str, request):
    answer = await api.call(SERVICE + method, request, token=api.token())
    assert answer.message is not None, answer
    return answer.message


async def refusal(api, method: str, request) -> str:
    return (await api.call(SERVICE + method, request, token=api.token())).info.reason


async def stored_evening(worker_db, futures) -> None:
    """Three contracts at 15:29 with open interest of 600, 300 and 100."""
    rows = zip(futures, ("1500", "1509", "1516.5"), (600, 300, 100), strict=True)
    await store(worker_db, *(minute(item, "2025-11-21T15:29:00", price, units) for item, price, units in rows))


async def test_rollover_is_what_lies_behind_the_nearest_expiry(api, worker_db, futures):
    await stored_evening(worker_db, futures)

    found = await ask(
        api, "GetRolloverMetrics", pb.GetRolloverMetricsRequest(underlying="reliance", as_of=at("2025-11-21T15:30:00"))
    )

    assert (found.underlying, found.total_open_interest, found.rollover_percent) == ("RELIANCE", 1_000, 40.0)
    assert found.rollover_cost_percent == pytest.approx(0.6)
    assert [round(row.share_percent, 9) for row in found.expiries] == [60.0, 30.0, 10.0]
    assert [row.quote.days_to_expiry for row in found.expiries] == [4, 39, 67]
    assert [row.quote.rank for row in found.expiries] == [1, 2, 3]
    assert [round(row.pressure, 9) for row in found.expiries] == [2.4, 0.0, 0.0]
    assert found.expiries[0].status == futures_pb2.ROLLOVER_STATUS_LOW
    assert found.open_interest_unit == futures_pb2.OPEN_INTEREST_UNIT_UNITS
    assert (found.pressure_days, found.stale) == (5, False)


async def test_pressure_begins_as_early_as_asked(api, worker_db, futures):
    await stored_evening(worker_db, futures)

    found = await ask(
        api,
        "GetRolloverMetrics",
        pb.GetRolloverMetricsRequest(underlying="RELIANCE", pressure_days=40, as_of=at("2025-11-21T15:30:00")),
    )

    assert found.expiries[0].pressure == pytest.approx(60 * 0.9**2)
    assert found.expiries[0].status == futures_pb2.ROLLOVER_STATUS_HIGH
    assert found.expiries[1].pressure == pytest.approx(30 / 40**2)


async def test_expired_contracts_never_count(api, worker_db, futures):
    await stored_evening(worker_db, futures)

    found = await ask(
        api, "GetRolloverMetrics", pb.GetRolloverMetricsRequest(underlying="RELIANCE", as_of=at("2025-11-25T15:30:01"))
    )

    assert [row.quote.instrument for row in found.expiries] == [NEXT.key, FAR.key]
    assert (found.total_open_interest, found.rollover_percent, found.stale) == (400, 25.0, True)


async def test_the_past_ends_with_the_last_bar_that_had_ended(api, worker_db, futures):
    near = futures[0]
    await store(
        worker_db,
        minute(near, "2025-11-24T09:15:00", "1500", 600),
        minute(near, "2025-11-24T09:16:00", "1501", 700),
    )

    found = await ask(
        api, "GetFuturesSummary", pb.GetFuturesSummaryRequest(underlying="RELIANCE", as_of=at("2025-11-24T09:16:59"))
    )

    assert (found.near.last_price, found.near.open_interest, found.near.volume) == (1500.0, 600, 10)
    assert found.near.price_time == at("2025-11-24T09:16:00")
    assert (found.active_contracts, found.lot_size) == (1, 500)


async def test_a_recorded_day_is_known_when_it_is_over(api, worker_db, futures):
    await store_day(worker_db, futures[0], "2025-11-20", "1490", 500)
    await store_day(worker_db, futures[0], "2025-11-21", "1500", 600)

    async def close_at(moment: str) -> float:
        request = pb.GetFuturesSummaryRequest(underlying="RELIANCE", as_of=at(moment))
        return (await ask(api, "GetFuturesSummary", request)).near.last_price

    assert await close_at("2025-11-21T15:29:59") == 1490.0
    assert await close_at("2025-11-21T15:30:00") == 1500.0
    assert await close_at("2025-11-24T09:00:00") == 1500.0


async def test_open_interest_in_contracts_is_told_as_such(api, worker_db, futures):
    await store_day(worker_db, futures[0], "2025-11-21", "1500", 60, "replay" + IN_CONTRACTS)

    found = await ask(
        api, "GetRolloverMetrics", pb.GetRolloverMetricsRequest(underlying="RELIANCE", as_of=at("2025-11-21T15:30:00"))
    )

    assert found.open_interest_unit == futures_pb2.OPEN_INTEREST_UNIT_CONTRACTS
    assert found.expiries[0].quote.open_interest_unit == futures_pb2.OPEN_INTEREST_UNIT_CONTRACTS


async def test_without_a_feed_the_newest_bar_says_what_time_it_is(api, worker_db, futures):
    await stored_evening(worker_db, futures)

    found = await ask(api, "GetRolloverMetrics", pb.GetRolloverMetricsRequest(underlying="RELIANCE"))

    assert (found.as_of, found.rollover_percent, found.stale) == (at("2025-11-21T15:30:00"), 40.0, True)


async def test_without_a_feed_and_bars_nobody_knows_what_time_it_is(api, futures):
    request = pb.GetRolloverMetricsRequest(underlying="RELIANCE")

    assert await refusal(api, "GetRolloverMetrics", request) == "MARKET_TIME_UNKNOWN"


async def test_contracts_of_which_nothing_was_known_are_listed_without_figures(api, futures):
    found = await ask(
        api, "GetRolloverMetrics", pb.GetRolloverMetricsRequest(underlying="RELIANCE", as_of=at("2025-11-25T15:30:00"))
    )

    assert [row.quote.HasField("open_interest") for row in found.expiries] == [False] * 4
    assert (found.stale, found.HasField("rollover_percent"), found.HasField("total_open_interest")) == (
        True,
        False,
        False,
    )


async def test_term_structure_compares_with_the_spot_and_with_the_contract_before(api, worker_db, futures, instruments):
    await stored_evening(worker_db, futures)
    await store(worker_db, minute(instruments[1], "2025-11-21T15:29:00", "1497"))

    found = await ask(
        api, "GetTermStructure", pb.GetTermStructureRequest(underlying="RELIANCE", as_of=at("2025-11-21T15:30:00"))
    )

    near, following, *_ = found.points
    assert (found.spot.instrument, found.spot.price) == ("NSE:RELIANCE", 1497.0)
    assert (near.basis.absolute, near.basis.state) == (3.0, futures_pb2.BASIS_STATE_PREMIUM)
    assert near.basis.percent == pytest.approx(100 * 3 / 1497)
    assert near.basis.carry_percent == pytest.approx(100 * 3 / 1497 * 365 / 4)
    assert near.basis.carry_rate == pytest.approx(float(np.log(1500 / 1497)) * 365 / 4)
    assert not near.HasField("calendar_spread")
    assert following.calendar_spread.absolute == 9.0
    assert following.calendar_spread.carry_percent == pytest.approx(0.6 * 365 / 35)


async def test_a_spot_of_another_day_is_no_spot(api, worker_db, futures, instruments):
    await stored_evening(worker_db, futures)
    await store(worker_db, minute(instruments[1], "2025-11-20T15:29:00", "1497"))

    found = await ask(
        api, "GetTermStructure", pb.GetTermStructureRequest(underlying="RELIANCE", as_of=at("2025-11-21T15:30:00"))
    )

    assert not found.HasField("spot")
    assert [point.HasField("basis") for point in found.points] == [False, False, False]


async def test_on_the_last_day_there_is_a_basis_and_no_carry(api, worker_db, futures, instruments):
    await store(
        worker_db,
        minute(futures[0], "2025-11-25T10:00:00", "1496", 600),
        minute(instruments[1], "2025-11-25T10:00:00", "1497"),
    )

    found = await ask(
        api, "GetFuturesSummary", pb.GetFuturesSummaryRequest(underlying="RELIANCE", as_of=at("2025-11-25T10:05:00"))
    )

    assert (found.basis.absolute, found.basis.state) == (-1.0, futures_pb2.BASIS_STATE_DISCOUNT)
    assert not found.basis.HasField("carry_percent")
    assert not found.basis.HasField("carry_rate")


async def test_now_is_the_book_and_what_it_lacks_comes_from_bars(api, feed, worker_db, futures, instruments):
    await stored_evening(worker_db, futures)
    await feed.tick(futures[0], OPEN, "1510.5", 25)
    await feed.tick(instruments[1], OPEN + 10**9, "1508")
    await heard(api, OPEN + 10**9)

    found = await ask(api, "GetTermStructure", pb.GetTermStructureRequest(underlying="RELIANCE"))

    near, following, *_ = found.points
    assert (near.quote.last_price, near.quote.volume) == (1510.5, 25)
    assert not near.quote.HasField("open_interest")
    assert (following.quote.last_price, following.quote.open_interest) == (1509.0, 300)
    assert near.basis.absolute == 2.5
    assert not following.HasField("basis")
    assert found.stale is False


async def test_contracts_without_any_figure_are_listed_now(api, feed, futures):
    await feed.tick(futures[0], OPEN, "1510.5")
    await heard(api, OPEN)

    found = await ask(api, "GetRolloverMetrics", pb.GetRolloverMetricsRequest(underlying="RELIANCE"))

    assert [row.quote.instrument for row in found.expiries] == [NEAR.key, NEXT.key, FAR.key, "NFO:RELIANCE29DECFUT"]
    assert not found.HasField("rollover_percent")
    assert [row.HasField("share_percent") for row in found.expiries] == [False] * 4


@pytest.mark.parametrize(
    ("underlying", "moment", "reason"),
    [
        ("NOSUCH", "2025-11-21T15:30:00", "UNDERLYING_NOT_FOUND"),
        ("RELIANCE", "2030-01-01T10:00:00", "RESOURCE_NOT_FOUND"),
    ],
)
async def test_what_has_no_futures_is_not_found(api, futures, underlying, moment, reason):
    request = pb.GetRolloverMetricsRequest(underlying=underlying, as_of=at(moment))

    assert await refusal(api, "GetRolloverMetrics", request) == reason


def signal_rows(message) -> list[tuple]:
    return [
        (
            row.instrument.removeprefix("NFO:RELIANCE"),
            (row.open_time.ToNanoseconds() - OPEN) // MINUTE,
            futures_pb2.PositionSignal.Name(row.signal).removeprefix("POSITION_SIGNAL_"),
        )
        for row in message.signals
    ]


async def store_signals(worker_db, futures) -> None:
    near, following, _ = futures
    await store(
        worker_db,
        minute(near, "2025-11-21T15:29:00", "1000", 1_000),
        minute(near, "2025-11-24T09:15:00", "1002.5", 1_025),
        minute(following, "2025-11-24T09:15:00", "1010", 400),
        minute(near, "2025-11-24T09:16:00", "1001", 1_050),
        minute(near, "2025-11-24T09:18:00", "999", 1_000),
        minute(following, "2025-11-24T09:18:00", "1012", 380),
        minute(near, "2025-11-24T09:19:00", "999.5", 990),
    )


def signals_request(**more) -> pb.ListPositionSignalsRequest:
    return pb.ListPositionSignalsRequest(
        **{"underlying": "RELIANCE", "timeframe": "1min", "start_time": at("2025-11-24T09:15:00"), **more}
    )


async def test_each_bar_is_compared_with_the_bar_before_it_of_its_contract(api, worker_db, futures):
    await store_signals(worker_db, futures)

    found = await ask(api, "ListPositionSignals", signals_request())

    assert signal_rows(found) == [
        ("25NOVFUT", 0, "LONG_BUILDUP"),
        ("25DECFUT", 0, "UNSPECIFIED"),
        ("25NOVFUT", 1, "SHORT_BUILDUP"),
        ("25NOVFUT", 3, "LONG_UNWINDING"),
        ("25DECFUT", 3, "SHORT_COVERING"),
        ("25NOVFUT", 4, "NEUTRAL"),
    ]
    first, unknown = found.signals[:2]
    assert (first.price_change, first.open_interest_change) == (2.5, 25)
    assert (first.price_change_percent, first.open_interest_change_percent) == (0.25, 2.5)
    assert (first.strength, first.sentiment) == (0.625, futures_pb2.POSITION_SENTIMENT_BULLISH)
    names = ("price_change", "price_change_percent", "open_interest_change", "open_interest_change_percent", "strength")
    assert [name for name in names if unknown.HasField(name)] == []
    assert (found.stale, found.HasField("as_of")) == (True, False)


async def test_signals_tell_market_time_and_that_the_market_is_live(api, feed, worker_db, futures):
    await store_signals(worker_db, futures)
    await feed.tick(futures[0], OPEN + 5 * MINUTE, "1000")
    await heard(api, OPEN + 5 * MINUTE)

    found = await ask(api, "ListPositionSignals", signals_request())

    assert (found.as_of, found.stale) == (at("2025-11-24T09:20:00"), False)


async def test_signals_come_in_pages(api, worker_db, futures):
    await store_signals(worker_db, futures)
    whole = await ask(api, "ListPositionSignals", signals_request())

    pages, token = [], ""
    while True:
        page = await ask(api, "ListPositionSignals", signals_request(page_size=2, page_token=token))
        pages.append(page)
        token = page.next_page_token
        if not token:
            break

    assert [len(page.signals) for page in pages] == [2, 2, 2]
    assert [row for page in pages for row in page.signals] == list(whole.signals)


async def test_larger_bars_and_one_contract_can_be_asked_for(api, worker_db, futures):
    await store_signals(worker_db, futures)

    found = await ask(api, "ListPositionSignals", signals_request(timeframe="5min", instruments=[NEAR.key]))

    (signal,) = found.signals
    assert (signal.close, signal.open_interest, signal.volume) == (999.5, 990, 40)
    assert (signal.price_change, signal.open_interest_change) == (-0.5, -10)
    assert signal.signal == futures_pb2.POSITION_SIGNAL_NEUTRAL


async def test_the_threshold_can_be_chosen(api, worker_db, futures):
    await store_signals(worker_db, futures)

    found = await ask(
        api, "ListPositionSignals", signals_request(timeframe="5min", instruments=[NEAR.key], threshold_percent=0)
    )

    assert found.signals[0].signal == futures_pb2.POSITION_SIGNAL_LONG_UNWINDING


async def test_a_contract_of_another_underlying_is_refused(api, futures):
    request = signals_request(instruments=["NSE:NIFTY 50"])

    assert await refusal(api, "ListPositionSignals", request) == "VALIDATION_FAILED"


async def test_an_unknown_timeframe_is_refused(api, futures):
    assert await refusal(api, "ListPositionSignals", signals_request(timeframe="7min")) == "TIMEFRAME_UNKNOWN"
