"""Larger bars from minutes."""

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.calendar import DatedRow, MarketCalendar, WeekdayHours
from server.domain.timeframes import MINUTE_NS, TIMEFRAMES, Timeframe
from server.market.hub.folding import BarRow, Folder, bucket_bounds, fold
from server.market.records import ABSENT, BAR_CLOSED, BAR_PARTIAL
from tests.support.market import nanoseconds

HOURS = [WeekdayHours(weekday, time(9, 15), time(15, 30), date(2000, 1, 1)) for weekday in range(5)]
HOLIDAY = DatedRow(date(2025, 11, 24), "holiday", None, None, "a Monday")
MUHURAT = DatedRow(date(2025, 10, 21), "special", time(13, 45), time(14, 45), "Muhurat")
CALENDAR = MarketCalendar("NSE", HOURS, [HOLIDAY, MUHURAT])
OPEN = nanoseconds("2025-11-25T09:15:00")
CLOSE = nanoseconds("2025-11-25T15:30:00")


def minute(number, *prices, volume=10, interest=ABSENT, flags=0):
    opened, high, low, close = prices or (100, 100, 100, 100)
    return BarRow(1, flags, OPEN + number * MINUTE_NS, opened, high, low, close, volume, interest)


def folder(name="5min"):
    made = Folder(Timeframe.parse(name), lambda _: CALENDAR)
    made.retain(1)
    return made


def at(number):
    return OPEN + number * MINUTE_NS


def test_fold_takes_open_of_the_first_and_close_of_the_last_minute():
    bar = fold(at(0), [minute(1, 104, 110, 90, 95), minute(0, 100, 105, 99, 104)], closed=True)

    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (100, 110, 90, 95, 20)
    assert bar.closed


def test_volume_and_open_interest_that_nobody_knows_stay_absent():
    bar = fold(at(0), [minute(0, volume=ABSENT), minute(1, volume=ABSENT)], closed=False)

    assert (bar.volume, bar.open_interest) == (ABSENT, ABSENT)


def test_open_interest_is_the_last_that_is_known():
    rows = [minute(0, interest=5), minute(1, interest=7), minute(2)]

    assert fold(at(0), rows, closed=False).open_interest == 7


def test_bar_with_a_partial_minute_is_partial():
    assert fold(at(0), [minute(0, flags=BAR_PARTIAL), minute(1)], closed=False).flags == BAR_PARTIAL


@pytest.mark.parametrize(
    ("timeframe", "moment", "start", "end"),
    [
        ("5min", "2025-11-25T09:19:59", "2025-11-25T09:15:00", "2025-11-25T09:20:00"),
        ("30min", "2025-11-25T15:20:00", "2025-11-25T15:15:00", "2025-11-25T15:30:00"),
        ("4hour", "2025-11-25T14:00:00", "2025-11-25T13:15:00", "2025-11-25T15:30:00"),
        ("30min", "2025-10-21T14:20:00", "2025-10-21T14:15:00", "2025-10-21T14:45:00"),
        ("1day", "2025-11-25T10:00:00", "2025-11-25T09:15:00", "2025-11-25T15:30:00"),
        ("1week", "2025-11-26T10:00:00", "2025-11-25T09:15:00", "2025-11-28T15:30:00"),
        ("1month", "2025-11-25T10:00:00", "2025-11-03T09:15:00", "2025-11-28T15:30:00"),
    ],
    ids=["5min", "session's last", "4hour", "special session", "day", "week after a holiday", "month"],
)
def test_bars_begin_and_end_with_trading(timeframe, moment, start, end):
    bounds = bucket_bounds(Timeframe.parse(timeframe), nanoseconds(moment), CALENDAR)

    assert bounds == (nanoseconds(start), nanoseconds(end))


def test_minute_outside_of_sessions_belongs_to_no_bar():
    with pytest.raises(ValueError, match="no session of NSE"):
        bucket_bounds(Timeframe.parse("5min"), nanoseconds("2025-11-24T10:00:00"), CALENDAR)


def test_instrument_that_nobody_needs_is_not_folded():
    made = folder()
    made.release(1)

    assert made.apply("run", at(0), [minute(0)]) == []


def test_next_bar_closes_the_one_before():
    made = folder()
    made.apply("run", at(0), [minute(0)])

    changed = made.apply("run", at(5), [minute(5)])

    assert [(bar.open_time, bar.closed) for bar in changed] == [(at(0), True), (at(5), False)]


def test_bar_is_closed_once():
    made = folder()
    made.apply("run", at(0), [minute(0)])

    assert [bar.closed for bar in made.close("run", at(5))] == [True]
    assert made.close("run", at(6)) == []


def test_session_end_closes_the_day():
    made = folder("1day")
    made.apply("run", at(0), [minute(0)])

    assert [bar.closed for bar in made.close("run", CLOSE)] == [True]


def test_minute_older_than_the_previous_bar_changes_nothing():
    made = folder()
    made.apply("run", at(0), [minute(0)])
    made.apply("run", at(10), [minute(5), minute(10)])

    assert made.apply("run", at(10), [minute(1)]) == []


def test_run_about_an_earlier_day_begins_anew():
    made = folder()
    made.apply("later", at(0), [minute(0)])
    earlier = minute(0)._replace(open_time=nanoseconds("2025-11-20T09:15:00"))

    changed = made.apply("earlier", earlier.open_time, [earlier])

    assert [bar.open_time for bar in changed] == [earlier.open_time]


def test_stored_minutes_yield_to_those_that_came_since():
    made = folder()
    made.apply("run", at(1), [minute(1, 100, 200, 100, 200)])
    made.complete(minute(0, 90, 95, 90, 95), at(1))
    made.complete(minute(1, 100, 100, 100, 100), at(1))

    bar = made.newest(1, closed_only=False)

    assert (bar.open, bar.high, bar.close, bar.volume) == (90, 200, 200, 20)


def test_newest_closed_bar_is_the_one_before_while_the_present_one_runs():
    made = folder()
    made.apply("run", at(0), [minute(0)])
    made.apply("run", at(5), [minute(5)])

    assert made.newest(1, closed_only=True).open_time == at(0)
    assert made.newest(1, closed_only=False).open_time == at(5)


def test_late_minute_of_the_previous_bar_leaves_the_present_one_open():
    made = folder()
    made.apply("run", at(0), [minute(0)])
    made.apply("run", at(5), [minute(5)])

    changed = made.apply("run", at(5), [minute(4, 100, 200, 100, 200)])

    assert [(bar.open_time, bar.high) for bar in changed] == [(at(0), 200)]
    assert not made.newest(1, closed_only=False).closed


def test_an_empty_one_has_the_timeframe_and_no_bars():
    made = folder("15min")
    made.apply("run", at(0), [minute(0)])

    twin = made.empty()
    twin.retain(1)

    assert (twin.timeframe, twin.bars(1), twin.minutes(1)) == (made.timeframe, [], [])
    assert [bar.open_time for bar in made.bars(1)] == [at(0)]


prices = st.integers(1, 1_000)


@given(
    st.sampled_from([timeframe.name for timeframe in TIMEFRAMES]),
    st.lists(st.tuples(st.integers(0, 374), prices, prices, prices), min_size=1, max_size=40),
)
def test_folding_minute_by_minute_equals_folding_at_once(name, drawn):
    """Whatever minutes come in ascending order, the last state of each bar is the fold of its minutes."""
    rows = {
        number: minute(number, one, max(one, two, three), min(one, two, three), three)
        for number, one, two, three in drawn
    }
    made, timeframe = folder(name), Timeframe.parse(name)
    states = {}
    for number in sorted(rows):
        for bar in made.apply("run", at(number), [rows[number]]):
            states[bar.open_time] = bar

    expected = {}
    for number, row in rows.items():
        expected.setdefault(bucket_bounds(timeframe, at(number), CALENDAR)[0], []).append(row)
    assert {start: bar._replace(flags=bar.flags & ~BAR_CLOSED) for start, bar in states.items()} == {
        start: fold(start, minutes, closed=False) for start, minutes in expected.items()
    }
