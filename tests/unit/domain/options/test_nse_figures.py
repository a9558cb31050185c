"""The exchange's own figures: its implied volatilities under its convention, its totals, and max pain on its chains."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from server.domain.options.arrays import total
from server.domain.options.calculation import Market, answer
from server.domain.options.conventions import Convention
from server.domain.options.max_pain import max_pain
from server.domain.options.put_call_ratio import put_call_ratio
from tests.support.nse import Columns, SiteChain, chain_files, chain_of, read_chains

INDICES = {"NIFTY", "BANKNIFTY"}
"""Their files of July 2025 carry last prices older than the spot."""


@pytest.fixture(scope="module")
def chains(shared_data: Path) -> list[SiteChain]:
    return [chain for path in chain_files(shared_data) for chain in read_chains(path)]


def median_difference(chain: SiteChain, shift: float = 0.0) -> float:
    """Median |ours − the site's| in volatility points, within 5 % of spot."""
    return float(np.median(differences(chain.quotes(), shift)))


def differences(quotes: Columns, shift: float = 0.0) -> np.ndarray:
    """|ours − the site's| of the options within 5 % of spot of which both have one."""
    spot = quotes["spot"] + shift
    known = Market.unknown(len(quotes["strike"]))
    market = replace(known, spot=spot, years=quotes["years"], price=quotes["price"])
    found = answer(Convention.NSE, quotes["call"], quotes["strike"], market, known)
    compared = (np.abs(quotes["strike"] / quotes["spot"] - 1.0) <= 0.05) & (quotes["site_iv"] > 0.0)
    compared &= np.isfinite(found.volatility)
    return np.abs(found.volatility - quotes["site_iv"])[compared] * 100.0


def is_stale(chain: SiteChain) -> bool:
    return chain.symbol in INDICES and chain.day.year >= 2025


def test_volatilities_are_the_exchanges_on_all_stocks_and_the_index_files_of_2022(chains: list[SiteChain]) -> None:
    compared = {(chain.symbol, chain.day): median_difference(chain) for chain in chains if not is_stale(chain)}

    assert compared
    assert {key: value for key, value in compared.items() if not value <= 0.01} == {}


def test_volatilities_of_stale_index_files_agree_after_a_shift_of_the_spot(
    chains: list[SiteChain], capsys: pytest.CaptureFixture[str]
) -> None:
    shifts = np.arange(-60.0, 20.5, 1.0)
    for chain in filter(is_stale, chains):
        medians = [median_difference(chain, shift) for shift in shifts]
        best = int(np.argmin(medians))

        with capsys.disabled():
            print(
                f"\n{chain.symbol} {chain.day}: median {median_difference(chain):.3f} volatility points, "
                f"{medians[best]:.3f} at a spot shifted by {shifts[best]:+.0f}"
            )
        assert medians[best] <= median_difference(chain)


@pytest.mark.parametrize(
    ("day", "shift", "count", "median"), [("2022-03-24", 0.0, 48, 0.0028), ("2025-07-17", -1.25, 70, 0.004)]
)
def test_on_expiry_day_volatilities_are_the_exchanges_with_one_day_left(
    chains: list[SiteChain], day: str, shift: float, count: int, median: float
) -> None:
    """That of 2025 is one of the files with last prices older than the spot."""
    chain = next(chain for chain in chains if (chain.symbol, chain.day.isoformat()) == ("NIFTY", day))

    found = differences(chain.expiring(), shift)

    assert len(found) >= count
    assert float(np.median(found)) <= median


@pytest.mark.parametrize("side", ["call", "put"])
@pytest.mark.parametrize(("figure", "field"), [("oi", "totOI"), ("volume", "totVol")])
def test_totals_of_the_nearest_expiry_are_the_exchanges(
    chains: list[SiteChain], side: str, figure: str, field: str
) -> None:
    theirs = [chain.site_total("CE" if side == "call" else "PE", field) for chain in stated(chains)]

    ours = [total(chain.nearest_expiry()[f"{side}_{figure}"]) for chain in stated(chains)]

    assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(("figure", "field"), [("oi", "totOI"), ("volume", "totVol")])
def test_put_call_ratios_are_those_of_the_exchanges_totals(chains: list[SiteChain], figure: str, field: str) -> None:
    for chain in stated(chains):
        columns = chain.nearest_expiry()

        ratio = put_call_ratio(columns[f"put_{figure}"], columns[f"call_{figure}"])

        puts, calls = chain.site_total("PE", field), chain.site_total("CE", field)
        assert ratio == (pytest.approx(puts / calls, rel=1e-12) if calls else None)


def stated(chains: list[SiteChain]) -> list[SiteChain]:
    """Those whose answer holds the site's own totals."""
    return [chain for chain in chains if chain.site_total("CE", "totOI") is not None]


def test_max_pain_of_every_chain_is_the_brute_forces(chains: list[SiteChain]) -> None:
    for chain in chains:
        columns = chain.nearest_expiry()
        strikes, calls, puts = columns["strike"], columns["call_oi"], columns["put_oi"]

        found = max_pain(strikes, calls, puts)

        assert found == brute_force(strikes, np.nan_to_num(calls), np.nan_to_num(puts))


def brute_force(strikes: np.ndarray, calls: np.ndarray, puts: np.ndarray) -> float:
    def payout(price: float) -> float:
        return sum(
            max(0.0, price - strike) * call + max(0.0, strike - price) * put
            for strike, call, put in zip(strikes.tolist(), calls.tolist(), puts.tolist(), strict=True)
        )

    return min(strikes.tolist(), key=lambda strike: (payout(strike), strike))


def test_expiries_of_the_site_are_read(chains: list[SiteChain]) -> None:
    nifty = next(chain for chain in chains if chain.symbol == "NIFTY" and chain.day == date(2025, 7, 17))

    assert nifty.expiries[:2] == [date(2025, 7, 17), date(2025, 7, 24)]


SIDE = {"openInterest": 5, "totalTradedVolume": "1,200", "impliedVolatility": 11.5, "lastPrice": 40.5}


@pytest.mark.parametrize(
    ("row", "more"),
    [
        ({"expiryDate": "31-Jul-2025"}, {"timestamp": "17-Jul-2025 15:30:00", "underlyingValue": 101.0}),
        ({"expiryDates": "31-07-2025"}, {"timestamp": "17-Jul-2025 15:30:00", "underlyingValue": 101.0}),
        ({"expiryDate": "31-Jul-2025"}, {"underlyingValue": 101.0}),
    ],
)
def test_answers_are_read_in_the_shapes_that_the_site_has_had(row: dict[str, str], more: dict[str, object]) -> None:
    answer = {"records": {"data": [{"strikePrice": 100, "CE": SIDE | {"underlying": "ABC"}} | row]} | more}

    chain = chain_of(answer, "abc_2025-07-17.json")

    assert (chain.symbol, chain.day, chain.expiries) == ("ABC", date(2025, 7, 17), [date(2025, 7, 31)])
    assert {name: column.tolist() for name, column in chain.quotes().items()} == {
        "call": [True], "strike": [100.0], "years": [14 / 365], "spot": [101.0], "price": [40.5], "site_iv": [0.115],
    }  # fmt: skip
    assert chain.nearest_expiry()["call_volume"].tolist() == [1200.0]
    assert chain.site_total("CE", "totOI") is None
