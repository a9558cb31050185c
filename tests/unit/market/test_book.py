"""The book: newest ticks, figures of the day, runs that replace each other, checkpoints."""

from datetime import date, time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.calendar import MarketCalendar, WeekdayHours
from server.domain.prices import ABSENT
from server.market.book import Book
from server.market.records import DEPTH
from server.market.sessions import SessionTable
from tests.unit.market.pipeline import INDEX, INSTRUMENTS, MONDAY, OPTION, SECOND, STOCK, Tick, ticks

DAY = 86_400 * SECOND
WEEKDAYS = [WeekdayHours(day, time(9, 15), time(15, 30), date(2010, 1, 1)) for day in range(5)]


def new_book() -> Book:
    sessions = SessionTable({"NSE": MarketCalendar("NSE", WEEKDAYS, [])})
    sessions.register(INSTRUMENTS.values())
    return Book(sessions)


def apply(book: Book, *rows: Tick, run: str = "run-1", source: str = "replay") -> list[bool]:
    market_time = max(row.event_time for row in rows)
    return book.apply(run, source, market_time, ticks(rows)).tolist()


def of(book: Book, number: int, *columns: str) -> tuple[int, ...]:
    return tuple(int(book.records[column][number]) for column in columns)


def depth(number: int, event_time: int, row: int, bid: int) -> np.ndarray:
    rows = np.zeros(1, DEPTH)
    rows["instrument"], rows["event_time"], rows["row"] = number, event_time, row
    rows["bids"]["price"] = bid
    return rows


def test_the_newest_tick_by_event_time_and_row_wins():
    book = new_book()

    moved = apply(book, Tick(STOCK, MONDAY, 2, 102), Tick(STOCK, MONDAY, 1, 101), Tick(INDEX, MONDAY, 3, 500))

    assert moved == [True, True, True]
    assert of(book, STOCK, "last_price", "row") == (102, 2)
    assert of(book, INDEX, "last_price") == (500,)


def test_a_late_tick_is_marked_and_changes_high_and_low_only():
    book = new_book()
    apply(book, Tick(STOCK, MONDAY + 9, 1, 100))

    moved = apply(book, Tick(STOCK, MONDAY + 8, 2, 120))

    assert moved == [False]
    assert of(book, STOCK, "last_price", "day_open", "day_high", "day_low") == (100, 120, 120, 100)


def test_ticks_before_the_session_are_no_part_of_the_day():
    book = new_book()

    apply(book, Tick(STOCK, MONDAY - SECOND, 1, 90), Tick(STOCK, MONDAY, 2, 100))

    assert of(book, STOCK, "day_open", "day_low", "last_price") == (100, 100, 100)


def test_what_is_not_known_is_absent():
    book = new_book()

    apply(book, Tick(STOCK, MONDAY - SECOND, 1, 90))

    assert of(book, STOCK, "day_open", "previous_close", "volume") == (ABSENT, ABSENT, ABSENT)
    assert of(book, OPTION, "event_time") == (ABSENT,)


def test_the_next_trading_day_begins_anew_from_the_last_session_price():
    book = new_book()
    apply(book, Tick(STOCK, MONDAY, 1, 100), Tick(STOCK, MONDAY + SECOND, 2, 110))
    apply(book, Tick(STOCK, MONDAY + 8 * 3600 * SECOND, 3, 999))

    apply(book, Tick(STOCK, MONDAY + DAY, 4, 120))

    assert of(book, STOCK, "previous_close", "day_open", "day_high") == (110, 120, 120)


def test_the_previous_close_is_absent_when_a_trading_day_is_missing():
    book = new_book()
    apply(book, Tick(STOCK, MONDAY, 1, 100))

    apply(book, Tick(STOCK, MONDAY + 2 * DAY, 2, 120))

    assert of(book, STOCK, "previous_close") == (ABSENT,)


def test_a_friday_is_the_day_before_a_monday():
    book = new_book()
    apply(book, Tick(STOCK, MONDAY + 4 * DAY, 1, 100))

    apply(book, Tick(STOCK, MONDAY + 7 * DAY, 2, 120))

    assert of(book, STOCK, "previous_close") == (100,)


def test_a_new_run_may_go_back_to_an_older_day():
    book = new_book()
    apply(book, Tick(STOCK, MONDAY + DAY, 1, 100))
    book.start_run("run-2", "replay")

    moved = apply(book, Tick(STOCK, MONDAY, 1, 80), run="run-2")

    assert moved == [True]
    assert of(book, STOCK, "last_price", "day_open", "previous_close") == (80, 80, ABSENT)


def test_a_displaced_live_run_changes_nothing_until_the_other_ends():
    book = new_book()
    book.start_run("live", "synthetic")
    book.start_run("replay", "replay")
    apply(book, Tick(STOCK, MONDAY, 1, 80), run="replay")

    refused = apply(book, Tick(STOCK, MONDAY + DAY, 1, 100), run="live", source="synthetic")
    book.end_run("replay")
    taken = apply(book, Tick(STOCK, MONDAY + DAY, 2, 101), run="live", source="synthetic")

    assert (refused, taken) == ([False], [True])
    assert of(book, STOCK, "last_price") == (101,)


def test_the_newest_depth_stands():
    book = new_book()

    for row, bid in ((2, 102), (1, 101)):
        book.apply("run-1", "replay", MONDAY, ticks([]), depth(STOCK, MONDAY, row, bid))

    assert book.depths["bids"]["price"][STOCK].tolist() == [102] * 5
    assert book.depths["event_time"][OPTION] == ABSENT


def test_instrument_numbers_may_be_large():
    book = new_book()
    far = INSTRUMENTS[STOCK].__class__(**{**vars(INSTRUMENTS[STOCK]), "instrument_id": 50_000})
    book._sessions.register([far])

    apply(book, Tick(50_000, MONDAY, 1, 100))

    assert of(book, 50_000, "last_price") == (100,)


ROWS = st.lists(
    st.builds(
        lambda number, day, second, row, price: Tick(number, MONDAY + day * DAY + second * SECOND, row, price),
        st.sampled_from([INDEX, STOCK, OPTION]),
        st.integers(0, 2), st.integers(-5, 20), st.integers(1, 9), st.integers(1, 99),
    ),
    min_size=1, max_size=30, unique_by=lambda row: row[:3],
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ROWS, st.data())
def test_a_restored_book_is_the_same_and_goes_on_the_same(rows, data):
    book, sections = new_book(), []
    for place in range(0, len(rows), 3):
        run = data.draw(st.sampled_from(["run-1", "run-2"]))
        apply(book, *rows[place : place + 3], run=run, source=run)
        if data.draw(st.booleans()):
            sections.append(book.snapshot(full=not sections))
            book.forget_changes()
    sections.append(book.snapshot(full=not sections))

    restored = new_book()
    for section in sections:
        restored.restore(section)

    assert restored.records.tobytes() == book.records.tobytes()
    assert restored.depths.tobytes() == book.depths.tobytes()
    assert restored.runs.dump() == book.runs.dump()


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 30))
def test_batches_of_any_size_give_the_same_book(rows, size):
    rows = sorted(rows, key=lambda row: (row.event_time, row.row))
    one, other = new_book(), new_book()

    apply(one, *rows)
    for place in range(0, len(rows), size):
        apply(other, *rows[place : place + size])

    assert one.records.tobytes() == other.records.tobytes()


def test_a_tick_without_a_price_leaves_the_last_one():
    book = new_book()
    apply(book, Tick(OPTION, MONDAY, 1, 100, open_interest=75))

    moved = apply(book, Tick(OPTION, MONDAY + SECOND, 2, ABSENT, open_interest=150))

    assert moved == [True]
    assert of(book, OPTION, "last_price", "open_interest", "day_low") == (100, 150, 100)
