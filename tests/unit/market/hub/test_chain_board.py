"""The board of chains: what entries of the chains log change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from server.market.chains import LiveChain, key_of
from server.market.hub.chains import ChainBoard, ChainChanges, instruments_of
from server.market.hub.position import EntryId
from server.market.records import CHAIN_ROW, CONTRACT_LISTED
from server.market.runs import Runs
from strikeline.internal.v1 import log_pb2
from tests.support.market import nanoseconds

NEAR, NEXT = date(2025, 11, 25), date(2025, 12, 2)
MORNING = nanoseconds("2025-11-24T10:00:00")
PLACE = EntryId(7, 0)


def chain(expiry: date = NEAR, *, as_of: int = MORNING, revision: int = 1, run: str = "a", underlying: str = "NIFTY"):
    rows = np.zeros(1, CHAIN_ROW)
    rows["strike"] = 1_000_000
    rows["call"]["instrument"], rows["call"]["flags"] = 5, CONTRACT_LISTED
    return LiveChain(underlying, expiry, as_of, 100.0, None, 0.065, 0.0, 0.1, rows, revision, run)


def entry(*chains: LiveChain, run: str = "a", ended: Sequence[date] = (), at: int = MORNING) -> log_pb2.ChainsEntry:
    return log_pb2.ChainsEntry(
        run=run,
        market_time=at,
        chains=[item.state() for item in chains],
        ended=[key_of("NIFTY", expiry) for expiry in ended],
    )


def board_of(runs: Runs | None = None) -> ChainBoard:
    return ChainBoard(str, runs or Runs())


def applied(board: ChainBoard, *entries: log_pb2.ChainsEntry) -> list[ChainChanges]:
    return [changes for item in entries for changes in board.apply(PLACE, item)]


def test_the_newest_valuation_of_each_expiry_is_kept():
    board = board_of()

    applied(board, entry(chain(), chain(NEXT)), entry(chain(revision=2)))

    assert board.expiries("NIFTY") == (NEAR, NEXT)
    assert board.get("NIFTY", NEAR).revision == 2
    assert [item.revision for item in board.all()] == [2, 1]
    assert board.get("BANKNIFTY", NEAR) is None


def test_an_expiry_that_ended_is_gone():
    board = board_of()

    changes = applied(board, entry(chain(), chain(NEXT)), entry(ended=[NEAR]))

    assert board.expiries("NIFTY") == (NEXT,)
    assert changes[-1].ended == {("NIFTY", NEAR)}


def test_valuations_of_one_entry_are_steps_by_market_time():
    board = board_of()
    states = [chain(as_of=MORNING), chain(NEXT, as_of=MORNING), chain(as_of=MORNING + 1, revision=2)]

    steps = [
        (changes.at, board.get("NIFTY", NEAR).revision)
        for changes in board.apply(PLACE, entry(*states, at=MORNING + 5))
    ]

    assert steps == [(MORNING, 1), (MORNING + 1, 2), (MORNING + 5, 2)]


def test_an_earlier_day_replaces_what_a_run_that_is_over_has_left():
    runs = Runs()
    runs.start("a", "replay")
    board = board_of(runs)
    applied(board, entry(chain(NEXT)))
    runs.start("b", "replay")

    first, _ = applied(board, entry(chain(as_of=MORNING - 86_400_000_000_000, run="b"), run="b"))

    assert first.ended == {("NIFTY", NEXT)}
    assert board.expiries("NIFTY") == (NEAR,)


def test_a_run_that_goes_on_with_the_day_leaves_other_expiries():
    runs = Runs()
    runs.start("a", "synthetic")
    board = board_of(runs)
    applied(board, entry(chain(), chain(NEXT)))
    runs.start("b", "synthetic")

    applied(board, entry(chain(as_of=MORNING + 1, run="b"), run="b"))

    assert board.expiries("NIFTY") == (NEAR, NEXT)


def test_chains_of_another_living_run_stay_and_the_later_run_leads():
    runs = Runs()
    runs.start("a", "synthetic")
    runs.start("b", "replay")
    board = board_of(runs)

    applied(board, entry(chain(NEXT)), entry(chain(as_of=MORNING - 86_400_000_000_000, run="b"), run="b"))
    changes = applied(board, entry(chain(NEXT, revision=2)))

    assert board.expiries("NIFTY") == (NEAR, NEXT)
    assert changes[0].leads == frozenset()
    assert board.time("NIFTY") == MORNING - 86_400_000_000_000


def test_a_fork_has_what_was_newest_at_a_place():
    board = board_of()
    board.take(EntryId(7, 0), entry(chain()))
    board.take(EntryId(9, 0), entry(chain(NEXT)))

    fork = board.forked(["NIFTY"], EntryId(8, 0))

    assert fork.expiries("NIFTY") == (NEAR,)
    assert fork.time("NIFTY") == MORNING


def test_instruments_of_known_ladders_are_not_named_again():
    board = board_of()

    before = instruments_of(entry(chain()), board).tolist()
    board.take(PLACE, entry(chain()))

    assert before == [5]
    assert instruments_of(entry(chain(), chain(NEXT)), board).tolist() == [5]
    assert instruments_of(entry(chain()), board).tolist() == []
