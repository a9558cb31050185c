"""Sessions of many ticks at once."""

from datetime import date, time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.domain.calendar import DatedRow, MarketCalendar, WeekdayHours
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import ABSENT
from server.market.sessions import SessionTable, day_numbers, day_start
from tests.support.market import nanoseconds

NSE_HOURS = [WeekdayHours(day, time(9, 15), time(15, 30), date(2010, 1, 1)) for day in range(5)]
MCX_HOURS = [WeekdayHours(day, time(9, 0), time(23, 30), date(2010, 1, 1)) for day in range(5)]
DATED = [
    DatedRow(date(2024, 3, 2), "special", time(9, 15), time(10, 0), "drill"),
    DatedRow(date(2024, 3, 2), "special", time(11, 30), time(12, 30), "drill"),
    DatedRow(date(2024, 5, 18), "special", time(11), time(12), "drill"),
    DatedRow(date(2024, 5, 18), "special", time(12), time(13), "drill"),
    DatedRow(date(2025, 12, 25), "holiday", None, None, "Christmas"),
]
NIFTY, GOLD, COPPER = 1, 2, 3


def table() -> SessionTable:
    sessions = SessionTable(
        {"NSE": MarketCalendar("NSE", NSE_HOURS, DATED), "MCX": MarketCalendar("MCX", MCX_HOURS, [])}
    )
    rows = [
        (NIFTY, "NSE", InstrumentKind.INDEX),
        (GOLD, "MCX", InstrumentKind.FUTURE),
        (COPPER, "NCO", InstrumentKind.FUTURE),
    ]
    sessions.register(
        Instrument(instrument_id=number, exchange=exchange, tradingsymbol=f"X{number}", kind=kind)
        for number, exchange, kind in rows
    )
    return sessions


def located(number: int, text: str) -> tuple[int, int, int]:
    found = table().locate(np.array([number], np.int32), np.array([nanoseconds(text)]))
    return int(found.session_open[0]), int(found.session_close[0]), int(found.day_open[0])


def test_a_tick_is_in_its_markets_session():
    nine, quarter = nanoseconds("2025-12-01T09:00"), nanoseconds("2025-12-01T09:15")

    assert located(NIFTY, "2025-12-01T09:15")[0] == quarter
    assert located(NIFTY, "2025-12-01T09:14:59")[0] == ABSENT
    assert located(GOLD, "2025-12-01T09:14:59")[0] == nine
    assert located(NIFTY, "2025-12-01T15:30")[0] == ABSENT


def minute(number: int, text: str, more: int = 0) -> tuple[int, int]:
    found = table().minutes(np.array([number], np.int32), np.array([nanoseconds(text) + more]))
    return (int(found.opened[0]), int(found.over[0])) if found.inside[0] else (ABSENT, ABSENT)


def test_a_sessions_last_minute_has_its_closing_instant():
    before, last = nanoseconds("2025-12-01T15:28"), nanoseconds("2025-12-01T15:29")
    close = nanoseconds("2025-12-01T15:30")

    assert minute(NIFTY, "2025-12-01T15:28:59") == (before, last)
    assert minute(NIFTY, "2025-12-01T15:29") == (last, close + 1)
    assert minute(NIFTY, "2025-12-01T15:30") == (last, close + 1)
    assert minute(NIFTY, "2025-12-01T15:30", 1) == (ABSENT, ABSENT)


def test_an_instant_that_closes_one_session_and_opens_another_belongs_to_the_other():
    noon = nanoseconds("2024-05-18T12:00")

    assert minute(NIFTY, "2024-05-18T11:59:30") == (noon - 60_000_000_000, noon)
    assert minute(NIFTY, "2024-05-18T12:00") == (noon, noon + 60_000_000_000)


def test_a_holiday_has_no_session():
    assert located(NIFTY, "2025-12-25T10:00") == (ABSENT, ABSENT, ABSENT)


def test_the_second_session_of_a_day_counts_volume_from_the_first():
    first, second = nanoseconds("2024-03-02T09:15"), nanoseconds("2024-03-02T11:30")

    assert located(NIFTY, "2024-03-02T11:45") == (second, nanoseconds("2024-03-02T12:30"), first)
    assert located(NIFTY, "2024-03-02T10:30")[0] == ABSENT


def test_an_exchange_without_calendar_is_never_in_session(caplog):
    assert located(COPPER, "2025-12-01T10:00") == (ABSENT, ABSENT, ABSENT)
    assert "NCO" in caplog.text


def test_instruments_that_were_not_registered_are_named():
    assert table().unknown(np.array([NIFTY, 7, 5_000, 7], np.int32)) == [7, 5_000]
    assert table().unknown(np.array([], np.int32)) == []


def test_only_an_index_has_no_volume():
    assert table().has_volume(np.array([NIFTY, GOLD], np.int32)).tolist() == [False, True]


def test_previous_days_skip_weekends_and_holidays():
    friday = int(day_numbers(np.array([nanoseconds("2025-12-26T10:00")]))[0])

    previous = table().previous_days(np.array([NIFTY, GOLD, COPPER], np.int32), friday)

    assert (friday - previous).tolist() == [2, 1, 1]


@given(st.integers(0, 2**62))
def test_a_day_begins_at_exchange_midnight(instant):
    day = int(day_numbers(np.array([instant]))[0])

    assert day_start(day) <= instant < day_start(day + 1)
