"""Futures: signals, rollover, basis, carry, and two recorded days by independent computation."""

import csv
import gzip
import math
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.calendar import to_nanoseconds
from server.domain.futures import (
    NO_MOVE,
    FutureQuote,
    PositionSignal,
    Sentiment,
    basis,
    position_move,
    position_signal,
    rollover,
    rollover_pressure,
    sentiment,
    signal_strength,
    term_structure,
)

NAN = math.nan
NEAR, NEXT, FAR = date(2024, 11, 28), date(2024, 12, 26), date(2025, 1, 30)


def at(day: date, hour: int = 12, minute: int = 0, second: int = 0) -> int:
    local = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
    return to_nanoseconds(local - timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("price", "interest", "expected"),
    [
        (0.25, 2.5, PositionSignal.LONG_BUILDUP),
        (-0.25, 2.5, PositionSignal.SHORT_BUILDUP),
        (-0.25, -2.5, PositionSignal.LONG_UNWINDING),
        (0.25, -2.5, PositionSignal.SHORT_COVERING),
        (0.05, 0.05, PositionSignal.NEUTRAL),
        (0.1, 2.5, PositionSignal.NEUTRAL),
        (2.5, -0.1, PositionSignal.NEUTRAL),
        (0.1001, 0.1001, PositionSignal.LONG_BUILDUP),
        (None, 2.5, None),
        (0.25, NAN, None),
    ],
)
def test_signal_says_something_when_both_moves_exceed_the_threshold(
    price: float | None, interest: float | None, expected: PositionSignal | None
) -> None:
    assert position_signal(price, interest) is expected


def test_strength_is_the_product_of_both_moves() -> None:
    assert signal_strength(0.25, 2.5) == 0.625
    assert signal_strength(-0.25, 2.5) == 0.625
    assert signal_strength(None, 2.5) is None
    assert signal_strength(NAN, 2.5) is None


def test_new_longs_and_covered_shorts_are_bullish() -> None:
    assert {signal: sentiment(signal) for signal in PositionSignal} == {
        PositionSignal.LONG_BUILDUP: Sentiment.BULLISH,
        PositionSignal.SHORT_COVERING: Sentiment.BULLISH,
        PositionSignal.SHORT_BUILDUP: Sentiment.BEARISH,
        PositionSignal.LONG_UNWINDING: Sentiment.BEARISH,
        PositionSignal.NEUTRAL: Sentiment.NEUTRAL,
    }


def quotes(*interest: float | None) -> list[FutureQuote]:
    expiries, prices = (NEAR, NEXT, FAR), (24_500.0, 24_622.5, 24_750.0)
    return [FutureQuote(*row) for row in zip(expiries, prices, interest, strict=True)]


def test_rollover_is_what_lies_beyond_the_nearest_expiry() -> None:
    found = rollover(quotes(5_000_000.0, 2_000_000.0, 633_588.0), at(date(2024, 11, 10)))

    assert [row.share for row in found.expiries] == pytest.approx([65.5, 26.2, 8.3], abs=0.01)
    assert [row.pressure for row in found.expiries] == [0.0, 0.0, 0.0]
    assert [row.days for row in found.expiries] == [18, 46, 81]
    assert found.percent == pytest.approx(34.5, abs=0.01)
    assert found.cost == pytest.approx(0.5, rel=1e-12)


def test_order_of_the_contracts_does_not_matter() -> None:
    instant = at(date(2024, 11, 10))

    assert rollover(quotes(5.0, 2.0, 1.0)[::-1], instant) == rollover(quotes(5.0, 2.0, 1.0), instant)


def test_expired_contracts_never_count() -> None:
    held = rollover(quotes(5.0, 3.0, 1.0), at(NEAR, 15, 30))
    gone = rollover(quotes(5.0, 3.0, 1.0), at(NEAR, 15, 30, 1))

    assert held.percent == pytest.approx(400 / 9)
    assert (gone.percent, gone.total_open_interest, len(gone.expiries)) == (25.0, 4.0, 2)


@pytest.mark.parametrize(
    ("share", "days", "pressure"), [(60, 3, 9.6), (60, 1, 38.4), (60, 0, 60.0), (60, 5, 0.0), (60, 6, 0.0)]
)
def test_pressure_grows_with_the_square_of_nearness(share: float, days: int, pressure: float) -> None:
    assert rollover_pressure(share, days) == pytest.approx(pressure)


def test_pressure_is_nothing_after_expiry_or_without_a_limit() -> None:
    assert rollover_pressure(60.0, -2) == 0.0
    assert rollover_pressure(60.0, 0, 0) == 0.0


def test_rollover_is_absent_without_open_interest() -> None:
    nothing_held = rollover(quotes(None, 0.0, None), at(date(2024, 11, 10)))
    nothing_known = rollover(quotes(None, None, None), at(date(2024, 11, 10)))

    assert (nothing_held.percent, nothing_held.total_open_interest) == (None, 0.0)
    assert (nothing_known.percent, nothing_known.total_open_interest) == (None, None)
    assert rollover([], at(date(2024, 11, 10))).cost is None


def test_basis_has_no_noise_of_binary_fractions() -> None:
    found = basis(25_715.1, 25_600.0, 30)

    assert found is not None
    assert found.absolute == 115.1


def test_basis_is_the_future_over_the_spot() -> None:
    found = basis(24_360.0, 24_000.0, 73)

    assert found is not None
    assert (found.absolute, found.percent) == (360.0, 1.5)
    assert found.carry_percent == pytest.approx(7.5)
    assert found.carry_rate == pytest.approx(math.log(1.015) * 5)


def test_a_discount_is_negative_and_carry_is_absent_on_the_last_day() -> None:
    found = basis(23_990.0, 24_000.0, 0)

    assert found is not None
    assert found.absolute == -10.0
    assert (found.carry_percent, found.carry_rate) == (None, None)


@pytest.mark.parametrize(("future", "spot"), [(None, 100.0), (100.0, None), (NAN, 100.0), (0.0, 100.0), (100.0, -1.0)])
def test_basis_is_absent_without_both_prices(future: float | None, spot: float | None) -> None:
    assert basis(future, spot, 10) is None


def test_term_structure_compares_with_the_spot_and_with_the_contract_before() -> None:
    near, following, _ = term_structure(quotes(1.0, 1.0, 1.0), 24_400.0, at(date(2024, 11, 8)))

    assert near.to_spot == basis(24_500.0, 24_400.0, 20)
    assert near.to_previous is None
    assert following.to_previous == basis(24_622.5, 24_500.0, 28)


def exact_rollover(rows: list[tuple[date, str, str]]) -> tuple[float, float, float]:
    """By decimals: rollover %, rollover cost %, carry % between near and next."""
    (near, first, near_oi), (following, second, _), *_ = sorted(rows)
    total = sum(Decimal(interest) for _, _, interest in rows)
    percent = (total - Decimal(near_oi)) / total * 100
    cost = (Decimal(second) - Decimal(first)) / Decimal(first) * 100
    return float(percent), float(cost), float(cost * 365 / (following - near).days)


def recorded_2024(shared_data: Path) -> dict[str, list[tuple[date, str, str]]]:
    rows: dict[str, list[tuple[date, str, str]]] = defaultdict(list)
    path = shared_data / "nse_bhavcopy" / "futures_2024-07-19_index_and_stocks_A-L.csv"
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            rows[row["SYMBOL"]].append((date.fromisoformat(row["EXPIRY"]), row["SETTLEMENT"], row["OI_NO_CON"]))
    return rows


def recorded_2019(shared_data: Path) -> dict[str, list[tuple[date, str, str]]]:
    rows: dict[str, list[tuple[date, str, str]]] = defaultdict(list)
    path = shared_data / "nse_bhavcopy" / "fo_bhav_old_format_2019-08-01_first_1000_rows.csv"
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["INSTRUMENT"].startswith("FUT"):
                expiry = datetime.strptime(row["EXPIRY_DT"], "%d-%b-%Y").date()  # noqa: DTZ007
                rows[row["SYMBOL"]].append((expiry, row["SETTLE_PR"], row["OPEN_INT"]))
    return rows


@pytest.mark.parametrize(
    ("recorded", "day", "underlyings"),
    [(recorded_2024, date(2024, 7, 19), 118), (recorded_2019, date(2019, 8, 1), 164)],
)
def test_rollover_and_carry_of_every_recorded_underlying(
    shared_data: Path, recorded, day: date, underlyings: int
) -> None:
    days = recorded(shared_data)
    for rows in days.values():
        futures = [FutureQuote(expiry, float(price), float(interest)) for expiry, price, interest in rows]

        rolled, terms = rollover(futures, at(day, 15, 30)), term_structure(futures, None, at(day, 15, 30))

        percent, cost, carry = exact_rollover(rows)
        assert rolled.percent == pytest.approx(percent, rel=1e-12)
        assert rolled.cost == pytest.approx(cost, rel=1e-9, abs=1e-12)
        assert terms[1].to_previous is not None
        assert terms[1].to_previous.carry_percent == pytest.approx(carry, rel=1e-9, abs=1e-12)
        assert math.fsum(row.share for row in rolled.expiries) == pytest.approx(100.0, rel=1e-12)
    assert len(days) == underlyings


@pytest.mark.parametrize("index", ["NIFTY", "BANKNIFTY"])
def test_basis_of_the_recorded_indices_against_their_spot(shared_data: Path, index: str) -> None:
    name = {"NIFTY": "NIFTY50", "BANKNIFTY": "BANKNIFTY"}[index]
    with gzip.open(shared_data / "minute" / f"{name}_1min_2024-07-15_to_08-02.csv.gz", "rt", newline="") as lines:
        spot = next(row["close"] for row in csv.DictReader(lines) if row["ts"].startswith("2024-07-19T15:29"))
    rows = sorted(recorded_2024(shared_data)[index])
    futures = [FutureQuote(expiry, float(price), float(interest)) for expiry, price, interest in rows]

    points = term_structure(futures, float(spot), at(date(2024, 7, 19), 15, 30))

    for (expiry, price, _), point in zip(rows, points, strict=True):
        difference = Decimal(price) - Decimal(spot)
        days = (expiry - date(2024, 7, 19)).days
        assert point.to_spot is not None
        assert point.to_spot.absolute == pytest.approx(float(difference), abs=1e-8)
        assert point.to_spot.carry_percent == pytest.approx(float(difference / Decimal(spot) * 36_500 / days), rel=1e-9)
        assert point.to_spot.carry_rate == pytest.approx(math.log(float(price) / float(spot)) * 365 / days, rel=1e-9)


def test_a_move_is_told_in_units_and_in_per_cent() -> None:
    move = position_move((1_002.5, 1_025), (1_000.0, 1_000))

    assert (move.price_change, move.price_percent) == (2.5, 0.25)
    assert (move.interest_change, move.interest_percent) == (25, 2.5)
    assert (move.signal, move.sentiment) == (PositionSignal.LONG_BUILDUP, Sentiment.BULLISH)
    assert move.strength == 0.625


def test_a_first_bar_has_no_move() -> None:
    assert position_move((1_000.0, 1_000), None) == NO_MOVE
    assert NO_MOVE.sentiment is None


@pytest.mark.parametrize(("now", "before"), [((1_000.0, None), (990.0, 5)), ((1_000.0, 5), (990.0, None))])
def test_without_open_interest_there_is_a_price_move_alone(
    now: tuple[float, int | None], before: tuple[float, int | None]
) -> None:
    move = position_move(now, before)

    assert (move.price_change, move.interest_change, move.interest_percent) == (10.0, None, None)
    assert (move.signal, move.strength) == (None, None)


def test_open_interest_that_was_nothing_has_a_change_and_no_per_cent() -> None:
    move = position_move((1_000.0, 5), (990.0, 0))

    assert (move.interest_change, move.interest_percent, move.signal) == (5, None, None)


@given(
    now=st.tuples(st.floats(0.05, 1e6), st.integers(0, 10**9)),
    before=st.tuples(st.floats(0.05, 1e6), st.integers(1, 10**9)),
)
def test_a_signal_points_where_both_moves_go(now: tuple[float, int], before: tuple[float, int]) -> None:
    move = position_move(now, before)

    assert move.price_percent is not None
    assert move.interest_percent is not None
    loud = min(abs(move.price_percent), abs(move.interest_percent)) > 0.1
    assert (move.signal is PositionSignal.NEUTRAL) is not loud
    if loud:
        assert (move.sentiment is Sentiment.BULLISH) is (now[0] > before[0])
        builds = move.signal in {PositionSignal.LONG_BUILDUP, PositionSignal.SHORT_BUILDUP}
        assert builds is (now[1] > before[1])
