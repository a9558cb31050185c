"""GetVolatilitySurface: the smiles of an underlying's live chains, and the arbitrage conditions that they miss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import numpy as np

from server.domain.options.arrays import FloatArray
from server.domain.options.black76 import Contracts
from server.domain.options.greeks import greeks
from server.domain.options.smile import Smile
from server.domain.options.volatility_surface import SmileArbitrage, VolatilitySurface
from server.market.chains import LiveChain
from server.services.converters_pricing import basis_message, known
from server.services.listed_expiries import symbol_of
from server.services.option_chains import FoundChain
from server.services.times import timestamp
from strikeline.v1 import option_pricing_pb2 as pb

DELTAS = (-0.10, -0.25, 0.50, 0.25, 0.10)
"""Where a smile is read when nothing is said, from the wing of the puts to that of the calls."""

PRICE_STEP = 0.05
"""Tick of options in rupees: prices are rounded to it, which is no arbitrage."""


class Chains(Protocol):
    """Chains by underlying and expiry (`server.services.option_chains.OptionChains`)."""

    async def find(self, name: str, text: str, field: str = "expiry") -> FoundChain:
        """The chain of an expiry by date or label. Raises NotFound that names the field."""
        ...

    async def in_force(self, name: str) -> tuple[date, ...]:
        """Expiries of an underlying that are in force, ascending. Raises NotFound."""
        ...


class VolatilitySurfaces:
    """Reads surfaces off the live chains."""

    def __init__(self, chains: Chains) -> None:
        self._chains = chains

    async def get_volatility_surface(self, request: pb.GetVolatilitySurfaceRequest) -> pb.VolatilitySurface:
        """The surface of now. Raises NotFound for an underlying or an expiry that is not in force."""
        found = await self._wanted(request)
        chains = [item.messages.chain for item in found]
        smiles = [(chain.expiry, smile) for chain in chains if (smile := smile_of(chain)) is not None]
        surface = VolatilitySurface.of(smiles)
        filled = [chain for chain in chains if chain.expiry in surface.expiries]
        message = pb.VolatilitySurface(
            underlying=symbol_of(request.underlying),
            stale=not filled or any(item.stale for item in found if item.messages.chain in filled),
            smiles=_smiles(request, filled, surface),
            empty_expiries=[chain.expiry.isoformat() for chain in chains if chain not in filled],
        )
        if filled:
            message.as_of.CopyFrom(timestamp(max(chain.as_of for chain in filled)))
        return message

    async def _wanted(self, request: pb.GetVolatilitySurfaceRequest) -> list[FoundChain]:
        """The chains that are asked for, ascending by expiry, each once."""
        names = list(request.expiries)
        if not names:
            names = [expiry.isoformat() for expiry in await self._chains.in_force(request.underlying)]
        found = {}
        for place, name in enumerate(names):
            item = await self._chains.find(request.underlying, name, f"expiries[{place}]")
            found[item.messages.chain.expiry] = item
        return [found[expiry] for expiry in sorted(found)]


def smile_of(chain: LiveChain) -> Smile | None:
    """The smile of a chain; None without a forward, or when time is over."""
    if chain.forward is None or not chain.years > 0.0:
        return None
    return Smile.of(chain.chain, chain.forward.price, chain.years)


def _smiles(
    request: pb.GetVolatilitySurfaceRequest, chains: Sequence[LiveChain], surface: VolatilitySurface
) -> list[pb.VolatilitySmile]:
    within = surface.smile_arbitrage(PRICE_STEP)
    later = (*surface.calendar_arbitrage(), ())
    deltas = np.array(request.deltas or DELTAS)
    return [
        pb.VolatilitySmile(
            expiry=chain.expiry.isoformat(),
            as_of=timestamp(chain.as_of),
            basis=basis_message(chain),
            points=_by_strike(smile, np.array(request.strikes or smile.strikes)),
            delta_points=_by_delta(smile, deltas),
            arbitrage=_arbitrage(found, calendar),
        )
        for chain, smile, found, calendar in zip(chains, surface.smiles, within, later, strict=False)
    ]


def _by_strike(smile: Smile, strikes: FloatArray) -> list[pb.SmilePoint]:
    volatility = smile.at_strike(strikes)
    options = Contracts.of(
        call=strikes >= smile.forward, strike=strikes, forward=smile.forward, rate=0.0, years=smile.years
    )
    return _points(smile, strikes, volatility, greeks(options, volatility).delta)


def _by_delta(smile: Smile, deltas: FloatArray) -> list[pb.SmilePoint]:
    return _points(smile, smile.strikes_at_delta(deltas), smile.at_delta(deltas), deltas)


def _points(smile: Smile, strikes: FloatArray, volatility: FloatArray, deltas: FloatArray) -> list[pb.SmilePoint]:
    distance = np.log(strikes / smile.forward)
    variance = volatility * volatility * smile.years
    columns = zip(*(column.tolist() for column in (strikes, deltas, distance, volatility, variance)), strict=True)
    names = ("strike", "delta", "log_moneyness", "implied_volatility", "total_variance")
    return [pb.SmilePoint(**dict(zip(names, map(known, row), strict=True))) for row in columns]


def _arbitrage(found: SmileArbitrage, calendar: Sequence[float]) -> pb.SmileArbitrage:
    return pb.SmileArbitrage(
        vertical_strikes=found.vertical, butterfly_strikes=found.butterfly, calendar_strikes=calendar
    )
