"""Every row of the published tables: Haug, Hull, and vollib's sweep over the spot."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from server.domain.options.black76 import Contracts, distances, price
from server.domain.options.greeks import greeks
from tests.support.option_contracts import forward_price

Figure = Callable[[Contracts, np.ndarray], np.ndarray]

FIGURES: Mapping[str, Figure] = {
    "price": price,
    "d1": lambda contracts, volatility: distances(contracts, volatility)[0],
    "d2": lambda contracts, volatility: distances(contracts, volatility)[1],
    "delta": lambda contracts, volatility: greeks(contracts, volatility).delta,
    "gamma": lambda contracts, volatility: greeks(contracts, volatility).gamma,
    "vega": lambda contracts, volatility: greeks(contracts, volatility).vega * 100.0,
    "vega_per_1pct": lambda contracts, volatility: greeks(contracts, volatility).vega,
    "rho": lambda contracts, volatility: greeks(contracts, volatility).rho * 100.0,
    "rho_per_1pct": lambda contracts, volatility: greeks(contracts, volatility).rho,
    "theta_per_day": lambda contracts, volatility: greeks(contracts, volatility).theta,
    "theta_per_year": lambda contracts, volatility: greeks(contracts, volatility).theta * 365.0,
    "elasticity": lambda contracts, volatility: (
        greeks(contracts, volatility).delta * contracts.underlying / price(contracts, volatility)
    ),
    "dividendRho": lambda contracts, volatility: (
        -contracts.years * contracts.underlying * greeks(contracts, volatility).delta
    ),
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def on_spot(row: Mapping[str, str], spot: str) -> Contracts:
    years, rate = float(row["t_years"]), float(row["r"])
    base, of_forward = float(row[spot]), row["q"] == ""
    forward = base if of_forward else forward_price(base, rate, float(row["q"]), years)
    return Contracts.of(
        call=row["type"] == "c",
        strike=float(row["strike"]),
        underlying=base,
        by_forward=of_forward,
        forward=forward,
        rate=rate,
        years=years,
    )


@pytest.mark.parametrize(("name", "spot", "count"), [("haug_*", "spot", 28), ("textbook_*", "spot_or_future", 21)])
def test_every_row_is_met_within_its_tolerance(shared_data: Path, name: str, spot: str, count: int) -> None:
    (path,) = (shared_data / "reference_greeks").glob(f"{name}.csv")
    rows = table(path)

    missed = [
        row
        for row in rows
        if abs(FIGURES[row["quantity"]](on_spot(row, spot), np.array([float(row["vol"])]))[0] - float(row["expected"]))
        > float(row["tolerance"])
    ]

    assert len(rows) == count
    assert missed == []


@pytest.mark.parametrize("call", [True, False])
def test_every_figure_of_the_sweep_is_met_to_its_last_digit(shared_data: Path, call: bool) -> None:
    rows = table(shared_data / "reference_greeks" / "vollib_black_scholes_table_part1.csv")
    column = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    forward = forward_price(column["S"], column["R"], 0.0, column["t"])
    contracts = Contracts.of(
        call=call,
        strike=column["K"],
        underlying=column["S"],
        forward=forward,
        rate=column["R"],
        years=column["t"],
    )

    worth, found = price(contracts, column["v"]), greeks(contracts, column["v"])

    side = "C" if call else "P"
    last_digit = {"rel": 1e-9, "abs": 6e-10}
    assert worth == pytest.approx(column["bs_call" if call else "bs_put"], **last_digit)
    assert found.delta == pytest.approx(column[f"{side}D"], **last_digit)
    assert found.gamma == pytest.approx(column[f"{side}G"], **last_digit)
    assert found.theta * 365.0 == pytest.approx(column[f"{side}T"], **last_digit)
    assert found.vega * 100.0 == pytest.approx(column[f"{side}V"], **last_digit)
    assert found.rho * 100.0 == pytest.approx(column[f"{side}R"], **last_digit)
