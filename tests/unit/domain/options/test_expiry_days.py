"""Recorded expiry days from open to close: every option with a volatility has all Greeks, and none explodes."""

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from server.domain.calendar import EXCHANGE_ZONE, to_nanoseconds
from server.domain.options.greeks import HIGHEST_CARRY, NAMES
from server.domain.options.invariants import HIGHEST_VOLATILITY, Checked, Rule
from server.domain.options.time_to_expiry import years_to_expiry
from server.domain.options.valuation import ExpiryQuotes, SideQuotes, value_columns

RATE = 0.065
OVER = {Rule.PRICE_BOUNDS, Rule.VOLATILITY_BOUNDS, Rule.PUT_CALL_PARITY}
"""What recorded prices violate: old ones. None of them is about a single Greek."""


@dataclass
class Snapshot:
    """A page of the exchange's website: spot, and last prices of call and put by strike."""

    spot: float
    prices: dict[float, list[float]] = field(default_factory=lambda: defaultdict(lambda: [math.nan, math.nan]))

    def quotes(self, years: float) -> ExpiryQuotes:
        strikes = np.array(sorted(self.prices))
        columns = np.array([self.prices[strike] for strike in strikes]).T
        unknown = np.full(len(strikes), math.nan)
        calls, puts = (SideQuotes(price=column, open_interest=unknown, volume=unknown) for column in columns)
        return ExpiryQuotes(
            strikes=strikes,
            calls=calls,
            puts=puts,
            spot=self.spot,
            future=None,
            rate=RATE,
            dividend_yield=0.0,
            years=years,
        )


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as lines:
        yield from csv.DictReader(lines)


def number(text: str) -> float:
    return float(text) if text else math.nan


def day_of_2019(folder: Path, symbol: str, expiry: str) -> Mapping[datetime, Snapshot]:
    found: dict[datetime, Snapshot] = {}
    for path in (folder / "snapshots_2019").glob(f"{symbol}_*.csv.gz"):
        for row in rows_of(path):
            if row["expiry"] == expiry and row["snapshot_ist"].startswith(expiry):
                page = found.setdefault(
                    datetime.fromisoformat(row["snapshot_ist"]), Snapshot(number(row["underlying"]))
                )
                page.prices[float(row["StrikePrice"])] = [number(row["CallLTP"]), number(row["PutLTP"])]
    return found


def day_of_2026(folder: Path, _symbol: str, _expiry: str) -> Mapping[datetime, Snapshot]:
    found: dict[datetime, Snapshot] = {}
    (path,) = (folder / "snapshots_2026").glob("*expiry_day.csv.gz")
    for row in rows_of(path):
        page = found.setdefault(datetime.fromisoformat(row["datetime"]), Snapshot(number(row["underlyingValue"])))
        page.prices[float(row["strikePrice"])][row["optionType"] == "Put"] = number(row["lastPrice"])
    last = max(found)
    return found | {last.replace(hour=15, minute=29, second=second): found[last] for second in (0, 30, 59)}


DAYS = [
    (day_of_2019, "NIFTY", "2019-07-25"),
    (day_of_2019, "BANKNIFTY", "2019-07-25"),
    (day_of_2019, "NIFTY", "2019-08-01"),
    (day_of_2019, "BANKNIFTY", "2019-08-01"),
    (day_of_2026, "NIFTY", "2026-04-13"),
]


@pytest.mark.parametrize(("read", "symbol", "expiry"), DAYS)
def test_greeks_are_known_and_bounded_wherever_the_volatility_is_all_day_long(
    shared_data: Path, read, symbol: str, expiry: str
) -> None:
    compared = 0
    for moment, page in read(shared_data / "nse_option_chain", symbol, expiry).items():
        instant = to_nanoseconds(moment.replace(tzinfo=EXCHANGE_ZONE))
        years = years_to_expiry(instant, date.fromisoformat(expiry))

        (forward,), found = value_columns([page.quotes(years)])

        valued = np.isfinite(found.volatility)
        assert years > 0.0 or not valued.any()
        assert not set(found.violations) - OVER
        assert np.isfinite(found.greeks.values[:, valued]).all()
        assert not (found.withheld & valued).any()
        if valued.any():
            assert forward is not None
            assert_sane(found, valued, page, forward.price, years)
        compared += int(valued.sum())
    assert compared > 100


def assert_sane(found: Checked, valued: np.ndarray, page: Snapshot, forward: float, years: float) -> None:
    """No Greek is larger than the definition lets it be at the money, at the least volatility of the chain."""
    figures = {name: np.abs(row[valued]) for name, row in zip(NAMES, found.greeks.values, strict=True)}
    volatility = found.volatility[valued]
    least, most = volatility.min(), volatility.max()
    assert most <= HIGHEST_VOLATILITY
    assert figures["delta"].max() <= 1.001
    narrow = least * math.sqrt(years)
    level = max(page.spot, forward) * 1.01
    assert figures["gamma"].max() <= 0.4 * 1.01 / (page.spot * narrow)
    erosion = 0.2 * level * most / math.sqrt(years)
    assert figures["theta"].max() <= (erosion + (HIGHEST_CARRY + 2 * RATE) * 2.0 * level) / 365.0
    assert figures["charm"].max() <= (HIGHEST_CARRY + RATE + (0.25 + HIGHEST_CARRY * years / narrow) / years) / 365.0
