"""GetVolatilitySurface over chains made by hand."""

import math
from datetime import UTC, date, datetime

import pytest

from server.domain.calendar import to_nanoseconds
from server.domain.errors import NotFound
from server.market.chain_messages import ChainMessages
from server.market.chains import LiveChain
from server.services.listed_expiries import unknown_expiry, unknown_underlying
from server.services.option_chains import FoundChain
from server.services.volatility_surfaces import DELTAS, VolatilitySurfaces
from strikeline.v1 import option_pricing_pb2 as pb
from tests.support.chains import LiveChains, live_chain

NOON = to_nanoseconds(datetime(2026, 11, 24, 6, 30, tzinfo=UTC))
NEAR, FAR, EMPTY = date(2026, 12, 1), date(2026, 12, 29), date(2027, 1, 26)
STRIKES = [21_000.0 + 100.0 * step for step in range(61)]


def skewed(level: float) -> dict[float, float]:
    return {strike: level - 0.2 * math.log(strike / 24_050.0) for strike in STRIKES}


CHAINS = [
    live_chain(NEAR, NOON, skewed(0.13)),
    live_chain(FAR, NOON, skewed(0.14)),
    live_chain(EMPTY, NOON, dict.fromkeys(STRIKES, math.nan)),
]


class Chains:
    """All chains are in force; EMPTY is too, and has none."""

    def __init__(self, chains: list[LiveChain]) -> None:
        self._chains = LiveChains(chains)

    async def find(self, name: str, text: str, field: str = "expiry") -> FoundChain:
        chain = self._chains.get(name, date.fromisoformat(text))
        if chain is None:
            raise unknown_expiry(name, text, field)
        return FoundChain(ChainMessages(chain, str), (), stale=False, now=NOON)

    async def in_force(self, name: str) -> tuple[date, ...]:
        expiries = tuple(self._chains.expiries(name))
        if not expiries:
            raise unknown_underlying(name)
        return expiries


async def surface(chains=CHAINS, **fields) -> pb.VolatilitySurface:
    request = pb.GetVolatilitySurfaceRequest(**{"underlying": "NIFTY"} | fields)
    return await VolatilitySurfaces(Chains(list(chains))).get_volatility_surface(request)


async def test_smiles_ascend_by_expiry_and_expiries_without_volatility_are_named() -> None:
    found = await surface(CHAINS[::-1])

    assert [smile.expiry for smile in found.smiles] == ["2026-12-01", "2026-12-29"]
    assert list(found.empty_expiries) == ["2027-01-26"]
    assert found.as_of.ToNanoseconds() == NOON


async def test_a_smile_is_read_at_its_own_strikes_when_nothing_is_said() -> None:
    smile = (await surface()).smiles[1]

    assert [point.strike for point in smile.points] == STRIKES
    middle = smile.points[30]
    assert middle.implied_volatility == pytest.approx(0.14 - 0.2 * math.log(24_000 / 24_050), abs=1e-4)
    assert middle.total_variance == middle.implied_volatility**2 * smile.basis.years_to_expiry


async def test_a_strike_beyond_the_outermost_has_no_volatility() -> None:
    points = (await surface(expiries=["2026-12-29"], strikes=[24_010.0, 40_000.0])).smiles[0].points

    assert [point.HasField("implied_volatility") for point in points] == [True, False]
    assert [point.strike for point in points] == [24_010.0, 40_000.0]


async def test_deltas_are_read_from_the_puts_to_the_calls() -> None:
    points = (await surface()).smiles[1].delta_points

    assert [point.delta for point in points] == list(DELTAS)
    volatilities = [point.implied_volatility for point in points]
    assert volatilities == sorted(volatilities, reverse=True)


async def test_smooth_smiles_miss_no_condition() -> None:
    for smile in (await surface(strikes=[24_000.0])).smiles:
        assert not smile.arbitrage.vertical_strikes
        assert not smile.arbitrage.calendar_strikes


async def test_a_price_that_is_too_high_is_a_butterfly() -> None:
    bent = skewed(0.14) | {24_200.0: 0.2}

    arbitrage = (await surface([live_chain(FAR, NOON, bent)])).smiles[0].arbitrage

    assert 24_200.0 in arbitrage.butterfly_strikes


async def test_less_variance_later_is_a_calendar() -> None:
    chains = [live_chain(NEAR, NOON, skewed(0.5)), live_chain(FAR, NOON, skewed(0.14))]

    found = await surface(chains)

    assert 24_000.0 in found.smiles[0].arbitrage.calendar_strikes
    assert not found.smiles[1].arbitrage.calendar_strikes


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"underlying": "NOSUCH"}, "underlying"), ({"expiries": ["2026-12-01", "2026-12-08"]}, "expiries[1]")],
)
async def test_what_is_not_in_force_is_not_found(fields: dict[str, object], field: str) -> None:
    with pytest.raises(NotFound) as caught:
        await surface(**fields)

    assert [violation.field for violation in caught.value.violations] == [field]


async def test_a_surface_without_a_smile_is_stale_and_has_no_time() -> None:
    found = await surface(CHAINS[2:])

    assert (found.stale, found.HasField("as_of"), list(found.empty_expiries)) == (True, False, ["2027-01-26"])


async def test_an_expiry_that_is_asked_for_twice_comes_once() -> None:
    found = await surface(expiries=["2026-12-29", "2026-12-01", "2026-12-29"])

    assert [smile.expiry for smile in found.smiles] == ["2026-12-01", "2026-12-29"]
