"""Recorded chains through the day, by plain loops beside our figures: 2019 with a monthly expiry, 2026, and 2021."""

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from server.domain.options.max_pain import max_pain
from server.domain.options.open_interest import open_interest_change
from server.domain.options.put_call_ratio import put_call_ratio

NAN = math.nan


def number(text: str) -> float:
    return float(text) if text else NAN


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as lines:
        yield from csv.DictReader(lines)


Interest = dict[float, list[float]]
"""By strike: open interest of the call and of the put."""


def snapshots_of_2019(folder: Path) -> dict[tuple[str, str, str], Interest]:
    found: dict[tuple[str, str, str], Interest] = defaultdict(dict)
    for path in sorted((folder / "snapshots_2019").glob("*NIFTY_*.csv.gz")):
        for row in rows_of(path):
            key = (path.name.split("_")[0], row["snapshot_ist"], row["expiry"])
            found[key][float(row["StrikePrice"])] = [number(row["CallOI"]), number(row["PutOI"])]
    return found


def snapshots_of_2026(folder: Path) -> dict[tuple[str, str, str], Interest]:
    found: dict[tuple[str, str, str], Interest] = defaultdict(dict)
    for path in sorted((folder / "snapshots_2026").glob("*.csv.gz")):
        for row in rows_of(path):
            strikes = found["NIFTY", row["datetime"], row["expiryDate"]]
            pair = strikes.setdefault(float(row["strikePrice"]), [NAN, NAN])
            pair[row["optionType"] == "Put"] = number(row["openInterest"])
    return found


def plainly(strikes: Interest) -> tuple[float | None, float | None]:
    """Max pain and put-call ratio by loops."""
    known = {strike: [0.0 if math.isnan(side) else side for side in pair] for strike, pair in strikes.items()}
    calls, puts = (math.fsum(pair[side] for pair in known.values()) for side in (0, 1))
    cost = {
        price: math.fsum(
            max(0.0, price - strike) * call + max(0.0, strike - price) * put for strike, (call, put) in known.items()
        )
        for price in known
    }
    pain = min(sorted(cost), key=cost.__getitem__) if calls or puts else None
    return pain, puts / calls if calls else None


@pytest.mark.parametrize(("snapshots", "count"), [(snapshots_of_2019, 700), (snapshots_of_2026, 80)])
def test_max_pain_and_ratio_of_every_snapshot(shared_data: Path, snapshots, count: int) -> None:
    chains = snapshots(shared_data / "nse_option_chain")
    for strikes in chains.values():
        ladder = np.array(sorted(strikes))
        calls, puts = np.array([strikes[strike] for strike in ladder]).T

        pain, ratio = max_pain(ladder, calls, puts), put_call_ratio(puts, calls)

        expected_pain, expected_ratio = plainly(strikes)
        assert pain == expected_pain
        assert ratio is None or ratio == pytest.approx(expected_ratio, rel=1e-12)
        assert (ratio is None) == (expected_ratio is None or np.isnan(puts).all())
    assert len(chains) >= count


def test_day_on_day_changes_of_2021_are_the_exchanges(shared_data: Path) -> None:
    faulty = {date(2021, 3, 31), date(2021, 5, 17), date(2021, 5, 19)}
    rolled = {date(2021, 3, 25), date(2021, 4, 30)}
    days: dict[date, dict[float, dict[str, float]]] = defaultdict(dict)
    for row in rows_of(shared_data / "nse_bhavcopy" / "NIFTY_monthly_chain_eod_2021-03-01_to_05-27.csv.gz"):
        names = ("CALL_OI", "CALL_COI", "PUT_OI", "PUT_COI")
        days[date.fromisoformat(row["Date"])][float(row["Strike"])] = {name: number(row[name]) for name in names}

    different = {
        day: share_that_differs(days[before], days[day])
        for before, day in zip(sorted(days)[:-1], sorted(days)[1:], strict=True)
        if day not in faulty | rolled
    }

    assert len(days) == 58
    assert {day: share for day, share in different.items() if share > 0.02} == {}


def share_that_differs(before: dict[float, dict[str, float]], now: dict[float, dict[str, float]]) -> float:
    """Share of contracts of both days whose change is not what the exchange prints."""
    common = sorted(before.keys() & now.keys())
    compared = differing = 0
    for side in ("CALL", "PUT"):
        current, baseline, printed = (
            np.array([day[strike][f"{side}_{name}"] for strike in common])
            for day, name in ((now, "OI"), (before, "OI"), (now, "COI"))
        )
        change = open_interest_change(current, baseline).absolute
        known = np.isfinite(change) & np.isfinite(printed)
        compared += int(known.sum())
        differing += int((change[known] != printed[known]).sum())
    return differing / compared
