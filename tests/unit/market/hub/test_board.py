"""The two latest minutes of every instrument."""

import numpy as np
import pytest

from server.market.hub.board import Board
from server.market.records import BAR


def bars(*rows):
    """Rows of instrument, minute and close."""
    made = np.zeros(len(rows), BAR)
    for place, (instrument, minute, close) in enumerate(rows):
        made[place]["instrument"], made[place]["open_time"], made[place]["close"] = instrument, minute, close
    return made


def latest(board, instrument):
    return [(row.open_time, row.close) for row in board.latest(instrument)[1]]


@pytest.fixture
def board():
    return Board()


def test_unknown_instrument_has_no_minutes(board):
    assert board.latest(99_999) == ("", [])


def test_newer_minutes_push_out_older_ones(board):
    for minute in (1, 2, 3):
        board.apply("run", bars((1, minute, minute * 10)))

    assert latest(board, 1) == [(2, 20), (3, 30)]


def test_minute_is_replaced_by_its_newer_state(board):
    board.apply("run", bars((1, 1, 10), (1, 2, 20)))
    board.apply("run", bars((1, 1, 11), (1, 2, 21)))

    assert latest(board, 1) == [(1, 11), (2, 21)]


def test_one_entry_may_close_a_minute_and_begin_the_next(board):
    board.apply("run", bars((2, 5, 1), (1, 2, 20), (1, 1, 10)))

    assert latest(board, 1) == [(1, 10), (2, 20)]
    assert latest(board, 2) == [(5, 1)]


def test_minute_older_than_both_changes_nothing(board):
    board.apply("run", bars((1, 5, 50), (1, 6, 60)))
    board.apply("run", bars((1, 1, 10)))

    assert latest(board, 1) == [(5, 50), (6, 60)]


def test_run_about_an_earlier_day_replaces_the_later_one(board):
    board.apply("later", bars((1, 500, 1), (1, 501, 2)))
    board.apply("earlier", bars((1, 5, 50)))

    assert board.latest(1)[0] == "earlier"
    assert latest(board, 1) == [(5, 50)]


def test_run_that_goes_on_keeps_the_minute_before(board):
    board.apply("one", bars((1, 5, 50)))
    board.apply("two", bars((1, 6, 60)))

    assert latest(board, 1) == [(5, 50), (6, 60)]
