"""Chains of expiries that are listed and of which nothing was traded yet: all strikes, no values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.time_to_expiry import years_to_expiry
from server.domain.prices import ABSENT, scale_price
from server.market.chain_messages import ChainMessages
from server.market.chains import LiveChain
from server.market.records import CHAIN_CONTRACT, CHAIN_ROW, CONTRACT_LISTED
from server.store.instruments import ContractFilter
from server.store.paging import Page

Rows = NDArray[np.void]

_MOST: Final = 5_000
_SIDES: Final = {InstrumentKind.CALL: "call", InstrumentKind.PUT: "put"}


class Contracts(Protocol):
    """The instrument master (`server.store.instruments.InstrumentStore`)."""

    async def derivative_contracts(self, wanted: ContractFilter, page_size: int) -> Page[Instrument]:
        """Derivatives by expiry and strike."""
        ...


@dataclass(frozen=True)
class Assumptions:
    """What options are valued with where the market does not tell. Fractions a year; `freshness` in nanoseconds."""

    rate: float
    dividend_yield: float
    freshness: int


class UnvaluedChains:
    """Makes chains without values from the instrument master."""

    def __init__(self, contracts: Contracts, assumptions: Assumptions) -> None:
        self._contracts = contracts
        self._assumptions = assumptions

    async def chain(self, underlying: str, expiry: date, as_of: int) -> ChainMessages:
        """The ladder of an expiry at a time; without strikes when none is on record."""
        page = await self._contracts.derivative_contracts(ContractFilter(underlying, expiry=expiry), _MOST)
        options = [item for item in page.items if item.kind in _SIDES]
        keys = {item.instrument_id: item.key for item in options}
        chain = LiveChain(
            underlying=underlying,
            expiry=expiry,
            as_of=as_of,
            spot=None,
            forward=None,
            rate=self._assumptions.rate,
            dividend_yield=self._assumptions.dividend_yield,
            years=years_to_expiry(as_of, expiry),
            rows=ladder(options),
            revision=0,
            run="",
        )
        return ChainMessages(chain, keys.__getitem__)


def ladder(options: Sequence[Instrument]) -> Rows:
    """All strikes of some options as `CHAIN_ROW`, ascending, without values."""
    strikes = sorted({scale_price(item.strike) for item in options if item.strike is not None})
    places = {strike: place for place, strike in enumerate(strikes)}
    rows = np.zeros(len(strikes), CHAIN_ROW)
    rows["strike"] = strikes
    for side in _SIDES.values():
        _empty(rows[side])
    for item in options:
        if item.strike is not None:
            contract = rows[_SIDES[item.kind]][places[scale_price(item.strike)]]
            contract["instrument"], contract["flags"] = item.instrument_id, CONTRACT_LISTED
    return rows


def _empty(contracts: Rows) -> None:
    for name in CHAIN_CONTRACT.names or ():
        if name not in {"instrument", "flags"}:
            contracts[name] = np.nan if CHAIN_CONTRACT[name].kind == "f" else ABSENT
