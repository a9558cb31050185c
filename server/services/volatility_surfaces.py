"""GetVolatilitySurface: the smiles of an underlying's live chains, and the arbitrage conditions that they miss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import numpy as np

from server.domain.errors import FieldViolation, InvalidArgument, NotFound
from server.domain.options.arrays import FloatArray
from server.domain.options.black76 import Contracts
from server.domain.options.greeks import greeks
from server.domain.options.smile import Smile
from server.domain.options.volatility_surface import SmileArbitrage, VolatilitySurface
from server.domain.symbols import canonical_underlying
from server.market.chains import LiveChain
from server.services.converters_pricing import basis_message, known
from server.services.times import timestamp
from strikeline.v1 import option_pricing_pb2 as pb

DELTAS = (-0.10, -0.25, 0.50, 0.25, 0.10)
"""Where a smile is read when nothing is said, from the wing of the puts to that of the calls."""


PRICE_STEP = 0.05
"""Tick of options in rupees: prices are rounded to it, which is no arbitrage."""


class Chains(Protocol):
    """The live chains (`server.market.hub.hub.Hub`)."""

    def get(self, underlying: str, expiry: date) -> LiveChain | None:
        """The chain of an expiry; None when there is none."""
        ...

    def expiries(self, underlying: str) -> Sequence[date]:
        """Expiries of an underlying that have a chain, ascending."""
        ...


class Liveness(Protocol):
    """Whether the market moves."""

    def is_live(self) -> bool:
        """Ticks are coming."""
        ...


class VolatilitySurfaces:
    """Reads surfaces off the live chains."""

    def __init__(self, chains: Chains, market: Liveness) -> None:
        self._chains = chains
        self._market = market

    async def get_volatility_surface(self, request: pb.GetVolatilitySurfaceRequest) -> pb.VolatilitySurface:
        """The surface of now. Raises NotFound for an underlying or an expiry without a chain."""
        chains = self._wanted(request)
        smiles = {chain.expiry: smile_of(chain) for chain in chains}
        surface = VolatilitySurface.of([(expiry, smile) for expiry, smile in smiles.items() if smile is not None])
        filled = [chain for chain in chains if chain.expiry in surface.expiries]
        return pb.VolatilitySurface(
            underlying=chains[0].underlying,
            as_of=timestamp(max(chain.as_of for chain in chains)),
            stale=not self._market.is_live(),
            smiles=_smiles(request, filled, surface),
            empty_expiries=[chain.expiry.isoformat() for chain in chains if chain not in filled],
        )

    def _wanted(self, request: pb.GetVolatilitySurfaceRequest) -> list[LiveChain]:
        underlying = canonical(request.underlying)
        listed = self._chains.expiries(underlying)
        if not listed:
            raise missing("underlying", request.underlying, "has no live option chain")
        asked = [expiry_of(text, f"expiries[{place}]") for place, text in enumerate(request.expiries)]
        for place, expiry in enumerate(asked):
            if expiry not in listed:
                raise missing(f"expiries[{place}]", expiry.isoformat(), "has no live option chain")
        found = (self._chains.get(underlying, expiry) for expiry in sorted(asked or listed))
        return [chain for chain in found if chain is not None]


def smile_of(chain: LiveChain) -> Smile | None:
    """The smile of a chain; None without a forward, or when time is over."""
    if chain.forward is None or not chain.years > 0.0:
        return None
    return Smile.of(chain.chain, chain.forward.price, chain.years)


def canonical(name: str) -> str:
    """The underlying that a name stands for. Raises NotFound when it is none."""
    try:
        return canonical_underlying(name)
    except ValueError as error:
        raise missing("underlying", name, "names no underlying") from error


def expiry_of(text: str, field: str) -> date:
    """The date. Raises InvalidArgument that names the field."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument.of(field, "is no date") from error


def missing(field: str, name: str, why: str) -> NotFound:
    """The error for what has no chain."""
    return NotFound(
        f"{name} {why}",
        metadata={"resource": field.partition("[")[0], "id": name},
        violations=(FieldViolation(field, why),),
    )


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
