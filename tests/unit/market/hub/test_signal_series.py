"""Bars of futures beside their predecessors, without any stream."""

from collections.abc import Sequence
from datetime import date, time

from hypothesis import given
from hypothesis import strategies as st

from server.domain.calendar import MarketCalendar, WeekdayHours
from server.domain.futures import NO_MOVE, PositionMove, position_move
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.hub.bar_series import BarClock, BarSeries
from server.market.hub.folding import BarRow, Folder
from server.market.hub.signal_series import SignalSeries, Tape
from server.market.records import ABSENT, PRICE_SCALE
from strikeline.internal.v1 import log_pb2
from tests.support.market import nanoseconds

CALENDAR = MarketCalendar(
    "NSE", [WeekdayHours(day, time(9, 15), time(15, 30), date(2000, 1, 1)) for day in range(5)], ()
)
OPEN = nanoseconds("2025-11-25T09:15:00")


def minute(number: int, close: int, interest: int = ABSENT, instrument: int = 1) -> BarRow:
    price = close * PRICE_SCALE
    return BarRow(instrument, 0, OPEN + number * MINUTE_NS, price, price, price, price, 10, interest)


def entry(number: int, run: str = "run", **more: bool) -> log_pb2.BarsEntry:
    return log_pb2.BarsEntry(run=run, market_time=OPEN + number * MINUTE_NS, **more)


class Nothing:
    """A database without any bar."""

    async def pieces(self, instruments: Sequence[int], market_time: int, timeframe: str) -> list[BarRow]:
        return []


def series(timeframe: str = "1min", *, closed_only: bool = False) -> SignalSeries:
    folder = Folder(Timeframe.parse(timeframe), lambda _: CALENDAR)
    folder.retain(1)
    return SignalSeries(BarSeries(folder, Nothing(), BarClock()), closed_only=closed_only)


def test_a_tape_compares_with_the_newest_bar_before() -> None:
    tape = Tape()
    for row in (minute(0, 100, 10), minute(2, 104, 12), minute(5, 102, 15)):
        tape.note(row)

    assert tape.move(minute(5, 102, 15)) == position_move((102.0, 15), (104.0, 12))
    assert tape.move(minute(2, 104, 12)) == position_move((104.0, 12), (100.0, 10))
    assert tape.move(minute(0, 100, 10)) == NO_MOVE


def test_a_tape_remembers_four_bars() -> None:
    tape = Tape()
    for number in range(6):
        tape.note(minute(number, 100 + number))

    assert tape.move(minute(2, 102)) == NO_MOVE
    assert tape.move(minute(3, 103)).price_change == 1.0


def test_what_has_come_is_newer_than_what_was_stored_but_may_lack_open_interest() -> None:
    tape = Tape()
    tape.note(minute(0, 101))
    tape.note(minute(1, 103, 20))

    tape.complete(minute(0, 100, 10))
    tape.complete(minute(1, 99, 99))

    assert tape.move(minute(1, 103, 20)) == position_move((103.0, 20), (100.0, 10))


def test_a_tape_adopts_what_is_earlier() -> None:
    old, tape = Tape(), Tape()
    for row in (minute(0, 100), minute(1, 101), minute(2, 102)):
        old.note(row)

    tape.adopt(old, 1, OPEN + 2 * MINUTE_NS)

    assert tape.move(minute(9, 111)).price_change == 10.0


def test_bars_that_are_not_over_can_be_left_out() -> None:
    made = series("3min", closed_only=True)

    assert made.apply(entry(0), [minute(0, 100, 10)]) == []
    assert [row.open_time for row in made.apply(entry(3), [minute(3, 101, 10)])] == [OPEN]
    newest = made.folder.newest(1, closed_only=True)
    assert newest is not None
    assert newest.open_time == OPEN


def test_the_end_of_a_session_closes_the_present_bar() -> None:
    made = series("3min", closed_only=True)
    made.apply(entry(0), [minute(0, 100, 10)])

    (row,) = made.apply(entry(1, session_ended=True), [])

    assert (row.open_time, row.closed) == (OPEN, True)


def test_another_run_about_earlier_bars_is_not_compared_with_later_ones() -> None:
    made = series()
    made.apply(entry(5), [minute(5, 100, 10)])

    (row,) = made.apply(entry(2, run="another"), [minute(2, 90, 9)])

    assert made.tape.move(row) == NO_MOVE


def test_a_forgotten_contract_begins_anew() -> None:
    made = series()
    made.apply(entry(0), [minute(0, 100, 10)])

    made.forget(1)

    assert made.tape.move(minute(1, 101, 11)) == NO_MOVE


updates = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 500), st.integers(0, 500)), min_size=1, max_size=60)


@given(st.sampled_from(["1min", "3min", "5min"]), updates)
def test_the_last_signal_of_each_bar_compares_whole_bars(timeframe: str, drawn: list[tuple[int, int, int]]) -> None:
    """Minutes that come in order, each some times: as if the bars had been compared when all were over."""
    made, number, minutes = series(timeframe), 0, {}
    told: dict[int, PositionMove] = {}
    for step, close, interest in drawn:
        number += step
        minutes[number] = minute(number, close, interest)
        for row in made.apply(entry(number), [minutes[number]]):
            told[row.open_time] = made.tape.move(row)

    length = Timeframe.parse(timeframe).minutes or 1
    ends = {OPEN + place // length * length * MINUTE_NS: minutes[place] for place in sorted(minutes)}
    starts = sorted(ends)
    for before, start in zip([None, *starts], starts, strict=False):
        earlier = None if before is None else (ends[before].close / PRICE_SCALE, ends[before].open_interest)
        assert told[start] == position_move((ends[start].close / PRICE_SCALE, ends[start].open_interest), earlier)
