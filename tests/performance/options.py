"""Implied volatility and Greeks of many contracts, beside fast-vollib and a loop over vollib."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from fast_vollib import fast_implied_volatility_black, get_all_greeks
from vollib.black.greeks import analytical
from vollib.black.implied_volatility import implied_volatility as vollib_implied_volatility

from server.domain.options.arrays import FloatArray
from server.domain.options.black76 import Contracts, price
from server.domain.options.greeks import greeks
from server.domain.options.implied_volatility import implied_volatility
from tests.performance.report import Figure, alternate, show
from tests.support.option_contracts import contracts_of

MARKET = 10_000
CHAIN = 160
FLOORS = {MARKET: 6.0, CHAIN: 1.0}
"""Milliseconds that the project sets itself."""

SAMPLE = 200
"""Contracts of the scalar loop; its time is scaled up."""

SPOT, RATE = 24_000.0, 0.065
FIRST_ORDER = ("delta", "gamma", "theta", "vega", "rho")


async def run(rounds: int, seconds: float) -> None:
    """Prints milliseconds of a market and of a chain, and the errors of the volatilities."""
    for count in (MARKET, CHAIN):
        contracts, volatility = market(count)
        quoted = price(contracts, volatility)
        share = seconds / 3.0
        mine, array, scalar = await alternate(
            rounds,
            partial(_milliseconds, partial(ours, contracts, quoted), share),
            partial(_milliseconds, partial(fast_vollib, contracts, quoted), share),
            partial(_milliseconds, partial(vollib, contracts, quoted), share),
        )
        show(
            f"Implied volatility and Greeks of {count:,} contracts, processor time",
            [
                Figure("ours: volatility and 11 Greeks", mine, "ms", floor=FLOORS[count], lower_is_better=True),
                Figure("fast-vollib: volatility and 5 Greeks", array, "ms"),
                Figure("loop over vollib: volatility and 5 Greeks", scalar * count / min(SAMPLE, count), "ms"),
            ],
        )
    show("Largest error of the volatility, in units of 1e-12", [_error(reach) for reach in (3.0, 8.0, 20.0)])


def market(count: int, reach: float = 3.0) -> tuple[Contracts, FloatArray]:
    """Options out of the money up to so many standard deviations, an hour to a year before expiry."""
    rng = np.random.default_rng(76)
    years = np.exp(rng.uniform(math.log(1 / (365 * 24)), 0.0, count))
    volatility = rng.uniform(0.08, 0.8, count)
    forward = SPOT * np.exp(0.05 * years)
    strikes = forward * np.exp(rng.uniform(-reach, reach, count) * volatility * np.sqrt(years))
    contracts = contracts_of(
        call=strikes >= forward,
        strike=strikes,
        spot=SPOT,
        forward=forward,
        rate=RATE,
        years=years,
    )
    return contracts, volatility


def ours(contracts: Contracts, quoted: FloatArray) -> None:
    """Volatility, then all Greeks of both orders."""
    greeks(contracts, implied_volatility(contracts, quoted))


def fast_vollib(contracts: Contracts, quoted: FloatArray) -> None:
    """Volatility, then the five Greeks it has."""
    flags = np.where(contracts.call, "c", "p")
    volatility = fast_implied_volatility_black(
        quoted, contracts.forward, contracts.strike, contracts.rate, contracts.years, flags, return_as="numpy"
    )
    get_all_greeks(
        flags,
        contracts.forward,
        contracts.strike,
        contracts.years,
        contracts.rate,
        volatility,
        model="black",
        return_as="dict",
    )


def vollib(contracts: Contracts, quoted: FloatArray) -> None:
    """The same, contract by contract, for a sample."""
    columns = (quoted, contracts.forward, contracts.strike, contracts.years, contracts.call)
    for paid, forward, strike, years, call in zip(*(column[:SAMPLE].tolist() for column in columns), strict=True):
        flag = "c" if call else "p"
        volatility = vollib_implied_volatility(paid, forward, strike, RATE, years, flag)
        for name in FIRST_ORDER:
            getattr(analytical, name)(flag, forward, strike, years, RATE, volatility)


def _error(reach: float) -> Figure:
    contracts, volatility = market(MARKET, reach)
    found = implied_volatility(contracts, price(contracts, volatility))
    error = float(np.abs(found - volatility).max()) / 1e-12
    return Figure(
        f"up to {reach:.0f} standard deviations out of the money", error, "", floor=100.0, lower_is_better=True
    )


async def _milliseconds(call: Callable[[], None], seconds: float) -> float:
    """Median processor time of a call, repeated for so long; its neighbours cost it less than wall time."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return float(np.median(times)) * 1e3
