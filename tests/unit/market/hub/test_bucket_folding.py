"""Minutes of chains folded into longer buckets."""

from __future__ import annotations

from datetime import date, time

import numpy as np
import pytest

from server.domain.calendar import MarketCalendar, WeekdayHours
from server.domain.options.chain import Chain, ChainSide
from server.domain.options.expiry_metrics import ExpiryMetrics, expiry_metrics
from server.domain.timeframes import MINUTE_NS, Timeframe
from server.market.chains import MinuteChain
from server.market.hub.bucket_folding import BucketFolder, empty_rows, joined, stored_rows
from server.market.records import ABSENT, CHAIN_ROW
from tests.support.market import nanoseconds

HOURS = [WeekdayHours(weekday, time(9, 15), time(15, 30), date(2000, 1, 1)) for weekday in range(5)]
OPEN = nanoseconds("2025-11-24T09:15:00")
NEAR = date(2025, 11, 25)
NOTHING = np.array([])


def metrics() -> ExpiryMetrics:
    side = ChainSide(price=NOTHING, open_interest=NOTHING, volume=NOTHING, volatility=NOTHING, delta=NOTHING)
    return expiry_metrics(Chain(strikes=NOTHING, calls=side, puts=side), None, 0.1)


def rows(*strikes: int, volume: int = 10, samples: int = 2, volatility: float = 0.2, close: int = 5) -> np.ndarray:
    found = empty_rows(np.array(strikes))
    call = found["call"]
    call["instrument"], call["samples"], call["volume"], call["close"] = 7, samples, volume, close
    call["volatility_sum"], call["volatility_count"] = volatility * samples, samples
    call["volatility_last"] = volatility
    return found


def minute(number: int, part: np.ndarray | None = None, expiry: date = NEAR) -> MinuteChain:
    found = rows(100) if part is None else part
    return MinuteChain("NIFTY", expiry, OPEN + number * MINUTE_NS, 100.0, None, 0.065, 0.0, 0.1, found, metrics())


@pytest.fixture
def folder() -> BucketFolder:
    calendar = MarketCalendar("NSE", HOURS, ())
    return BucketFolder(Timeframe.parse("5min"), lambda _: calendar)


def after(number: float) -> int:
    return OPEN + int(number * MINUTE_NS)


def shown(buckets: list) -> list[tuple[int, int, int]]:
    """Minute from the open, minutes in it, volume of the first call."""
    return [
        ((item.chain.open_time - OPEN) // MINUTE_NS, item.minutes, int(item.chain.rows["call"]["volume"][0]))
        for item in buckets
    ]


def test_sums_and_counts_are_added_and_the_later_value_stays():
    both = joined(rows(100, volatility=0.1, close=4), rows(100, volatility=0.3, close=ABSENT))["call"][0]

    assert (both["samples"], both["volatility_count"], both["volume"]) == (4, 4, 20)
    assert both["volatility_sum"] == pytest.approx(0.8)
    assert (both["volatility_last"], both["close"]) == (0.3, 4)


def test_strikes_of_both_are_there():
    both = joined(rows(100, 120), rows(110, 120))

    assert both["strike"].tolist() == [100, 110, 120]
    assert both["call"]["volume"].tolist() == [10, 10, 20]


def test_what_nobody_knows_stays_absent():
    both = joined(rows(100, volume=ABSENT), rows(100, volume=ABSENT))

    assert both["call"]["volume"][0] == ABSENT
    assert both["put"]["instrument"][0] == 0
    assert np.isnan(both["call"]["book"]["spread"][0])


def test_volume_of_one_minute_alone_is_known():
    assert joined(rows(100, volume=ABSENT), rows(100, volume=7))["call"]["volume"][0] == 7


def test_a_bucket_closes_when_market_time_comes_to_its_end(folder):
    closed = [folder.apply("run", after(number + 1), [minute(number)]) for number in range(5)]

    assert [shown(item) for item in closed] == [[], [], [], [], [(0, 5, 50)]]


def test_a_bucket_closes_once(folder):
    folder.apply("run", after(5), [minute(4)])

    assert folder.apply("run", after(6), []) == []


def test_a_bucket_without_its_last_minute_closes_by_time(folder):
    folder.apply("run", after(2), [minute(1)])

    assert shown(folder.apply("run", after(5), [])) == [(0, 1, 10)]


def test_another_runs_market_time_closes_nothing(folder):
    folder.apply("run", after(2), [minute(1)])

    assert folder.apply("other", after(60), []) == []


def test_of_two_versions_of_a_minute_the_one_with_more_samples_counts(folder):
    folder.apply("run", after(1), [minute(0, rows(100, samples=3, volume=3))])
    folder.apply("run", after(1), [minute(0, rows(100, samples=1, volume=1))])

    assert shown(folder.apply("run", after(5), [])) == [(0, 1, 3)]


def test_a_bucket_that_a_run_left_goes_on_with_the_next_run(folder):
    first = folder.apply("run", after(1.5), [minute(0), minute(1)])
    second = folder.apply("next", after(5), [minute(4)])

    assert (shown(first), shown(second)) == ([(0, 2, 20)], [(0, 3, 30)])


def test_what_is_stored_of_a_bucket_counts(folder):
    folder.begin(("NIFTY", NEAR), OPEN, rows(100, volume=100), 3)

    assert shown(folder.apply("run", after(5), [minute(4)])) == [(0, 4, 110)]


def test_stored_figures_become_rows_of_their_strikes():
    ladder = np.zeros(2, CHAIN_ROW)
    ladder["strike"], ladder["call"]["instrument"], ladder["put"]["instrument"] = [100, 110], [1, 2], [3, 4]
    names = [name for name in rows(100)["call"].dtype.names if name not in {"instrument", "book"}]
    book = ("spread", "spread_pct", "imbalance_pct", "pressure", "microprice", "score")
    known = {"samples": 2, "close": 1.5, "volatility_sum": 0.4, "volatility_count": 2}
    figures = dict.fromkeys((*names, *book)) | known

    found = stored_rows(ladder, {4: figures})

    assert found["strike"].tolist() == [110]
    put = found["put"][0]
    assert (put["instrument"], put["samples"], put["close"], put["volume"]) == (4, 2, 15_000, ABSENT)
    assert np.isnan(put["volatility_last"])


def test_a_minute_outside_of_sessions_belongs_to_no_bucket(folder):
    assert folder.apply("run", after(500), [minute(400)]) == []


def test_the_days_last_bucket_is_over_behind_the_closing_instant(folder):
    told = [
        folder.apply("run", after(374), [minute(373)]),
        folder.apply("run", after(375), []),
        folder.apply("run", after(375) + 1, [minute(374)]),
        folder.apply("run", after(376), []),
    ]

    assert [shown(buckets) for buckets in told] == [[], [], [(370, 2, 20)], []]


def test_the_days_last_bucket_is_over_with_a_run_that_ends_at_the_close(folder):
    other = date(2025, 12, 30)
    folder.apply("run", after(373), [minute(372), minute(372, expiry=other)])

    told = folder.apply("run", after(375), [minute(374)])

    assert [(item.key[1], *shown([item])[0]) for item in told] == [(NEAR, 370, 2, 20), (other, 370, 1, 10)]


def test_a_run_that_ends_at_a_close_within_the_bucket_closes_it():
    weekly = BucketFolder(Timeframe.parse("1week"), lambda _: MarketCalendar("NSE", HOURS, ()))

    assert shown(weekly.apply("run", after(375), [minute(374)])) == [(0, 1, 10)]
