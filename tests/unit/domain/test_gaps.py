"""Minutes that lack bars."""

from datetime import date

from server.domain.gaps import missing_minutes, session_minutes
from server.domain.timeframes import MINUTE_NS
from tests.support.feeds import make_calendar

OPEN = 1_764_560_700 * 10**9
"""2025-12-01 09:15 IST."""
DAY = session_minutes(make_calendar().session_on(date(2025, 12, 1)))
ALWAYS = (0, 2**62)


def at(*minutes: int) -> list[int]:
    return [OPEN + minute * MINUTE_NS for minute in minutes]


def test_a_normal_day_has_375_minutes_from_the_open():
    assert (len(DAY), int(DAY[0]), int(DAY[-1])) == (375, OPEN, OPEN + 374 * MINUTE_NS)


def test_a_day_without_sessions_has_no_minute():
    assert len(session_minutes([])) == 0


def test_minutes_without_a_bar_are_missing():
    known = at(*range(375))
    del known[100:103]

    assert missing_minutes(DAY, known, [], ALWAYS).tolist() == at(100, 101, 102)


def test_minutes_that_an_outage_touches_are_missing_although_they_have_bars():
    outage = (OPEN + 10 * MINUTE_NS + 30 * 10**9, OPEN + 12 * MINUTE_NS + 1)

    assert missing_minutes(DAY, at(*range(375)), [outage], ALWAYS).tolist() == at(10, 11, 12)


def test_an_outage_that_ends_with_a_minute_does_not_touch_the_next():
    outage = (OPEN + 10 * MINUTE_NS, OPEN + 11 * MINUTE_NS)

    assert missing_minutes(DAY, at(*range(375)), [outage], ALWAYS).tolist() == at(10)


def test_only_whole_minutes_of_the_range_are_wanted():
    within = (OPEN + 30 * 10**9, OPEN + 3 * MINUTE_NS + 59 * 10**9)

    assert missing_minutes(DAY, [], [], within).tolist() == at(1, 2)
