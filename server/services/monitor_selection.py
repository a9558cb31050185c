"""What a screen of an underlying shows: itself, its futures, and options around the money of its nearest expiries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain.calendar import NANOSECONDS
from server.domain.errors import NotFound
from server.domain.expiries import earliest_expiry
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.options.moneyness import atm_strike, strike_step, window
from server.domain.symbols import index_key
from server.market.chain_messages import ChainMessages
from server.market.clock import Clock
from server.market.records import CONTRACT_LISTED
from server.services.listed_expiries import Labels, ListedExpiries, symbol_of, unknown_underlying
from server.services.option_chains import Chains
from server.services.requests import MarketClock
from server.services.unvalued_chains import UnvaluedChains
from server.store.instruments import ContractFilter
from server.store.paging import Page
from strikeline.v1 import monitor_pb2 as pb

DEFAULT_EXPIRIES: Final = 3
DEFAULT_LEVELS: Final = 10
_MOST_FUTURES: Final = 100

Request = pb.GetMarketSnapshotRequest | pb.GetMonitorMetadataRequest | pb.MonitorSelection


class Master(Protocol):
    """The instrument master (`server.store.instruments.InstrumentStore`)."""

    async def by_keys(self, keys: Sequence[str]) -> list[Instrument]:
        """Those that exist, in the order of `keys`."""
        ...

    async def derivative_contracts(self, wanted: ContractFilter, page_size: int) -> Page[Instrument]:
        """Derivatives by expiry and strike."""
        ...


class Prices(Protocol):
    """The newest price of an instrument."""

    async def price(self, instrument: Instrument) -> float | None:
        """Rupees or points; None when nothing is known."""
        ...


@dataclass(frozen=True)
class SelectedStrike:
    """Numbers of the contracts of one strike (rupees); None where one is not listed."""

    strike: float
    call: int | None
    put: int | None


@dataclass(frozen=True)
class SelectedExpiry:
    """The chosen strikes of an expiry, ascending. `reference` (rupees) and `atm` are None when no price is known.

    `step` is the usual distance of strikes. `key` gives a contract's key.
    """

    expiry: date
    labels: tuple[str, ...]
    reference: float | None
    atm: float | None
    step: float | None
    strikes: tuple[SelectedStrike, ...]
    key: Callable[[int], str]

    @property
    def numbers(self) -> Iterator[int]:
        """Instrument numbers of all chosen contracts, call before put."""
        for row in self.strikes:
            yield from (number for number in (row.call, row.put) if number is not None)


@dataclass(frozen=True)
class Selection:
    """What is chosen. `own` is None when the underlying itself is not on record."""

    underlying: str
    own: Instrument | None
    futures: tuple[Instrument, ...]
    expiries: tuple[SelectedExpiry, ...]


class MonitorSelections:
    """Chooses by market time; before the first tick by the wall clock, so that a feed can be told what to follow."""

    def __init__(
        self,
        chains: Chains,
        listed: ListedExpiries,
        market: MarketClock,
        master: Master,
        unvalued: UnvaluedChains,
        prices: Prices,
        clock: Clock,
    ) -> None:
        self._chains = chains
        self._listed = listed
        self._market = market
        self._master = master
        self._unvalued = unvalued
        self._prices = prices
        self._clock = clock

    async def choose(self, request: Request) -> Selection:
        """What a request names. Raises NotFound (UNDERLYING_NOT_FOUND) when nothing on it is in force."""
        symbol = symbol_of(request.underlying)
        now = self._chains.time(symbol) or market_now(self._market, self._clock)
        futures = await self._futures(symbol, now)
        labels = await self._labels(symbol, request.underlying, now, optional=bool(futures))
        own = next(iter(await self._master.by_keys([index_key(symbol) or f"NSE:{symbol}"])), None)
        price = None if own is None else await self._prices.price(own)
        chosen = []
        for item in labels.expiries[: request.expiry_limit or DEFAULT_EXPIRIES] if labels else ():
            messages = self._chains.messages(symbol, item.expiry)
            messages = messages or await self._unvalued.chain(symbol, item.expiry, now)
            chosen.append(_selected(messages, item.labels, price, request.levels or DEFAULT_LEVELS))
        if not futures and not chosen:
            raise unknown_underlying(request.underlying)
        return Selection(symbol, own, futures, tuple(chosen))

    async def _futures(self, symbol: str, now: int) -> tuple[Instrument, ...]:
        wanted = ContractFilter(symbol, kind=InstrumentKind.FUTURE, on=earliest_expiry(now))
        return tuple((await self._master.derivative_contracts(wanted, _MOST_FUTURES)).items)

    async def _labels(self, symbol: str, name: str, now: int, *, optional: bool) -> Labels | None:
        """The option expiries in force; None without any for an underlying that has futures."""
        try:
            return await self._listed.labels(symbol, now, name)
        except NotFound:
            if optional:
                return None
            raise


def market_now(market: MarketClock, clock: Clock) -> int:
    """Market time, nanoseconds since 1970 UTC; before the first tick the wall clock's."""
    return market.market_time() or int(clock.wall() * NANOSECONDS)


def _selected(messages: ChainMessages, labels: tuple[str, ...], price: float | None, levels: int) -> SelectedExpiry:
    strikes = messages.chain.strikes
    reference = price if messages.reference is None else messages.reference
    chosen = slice(None) if reference is None or not len(strikes) else window(strikes, reference, levels)
    return SelectedExpiry(
        expiry=messages.chain.expiry,
        labels=labels,
        reference=reference,
        atm=None if reference is None else atm_strike(strikes, reference),
        step=strike_step(strikes),
        strikes=_strikes(messages, chosen),
        key=messages.key,
    )


def _strikes(messages: ChainMessages, chosen: slice) -> tuple[SelectedStrike, ...]:
    rows = messages.chain.rows[chosen]
    calls, puts = (_listed(rows[side]) for side in ("call", "put"))
    strikes: list[float] = messages.chain.strikes[chosen].tolist()
    return tuple(SelectedStrike(*row) for row in zip(strikes, calls, puts, strict=True))


def _listed(contracts: NDArray[np.void]) -> list[int | None]:
    """Numbers of the contracts; None for those that are not listed."""
    listed = (contracts["flags"] & CONTRACT_LISTED) != 0
    numbers = zip(contracts["instrument"].tolist(), listed.tolist(), strict=True)
    return [number if there else None for number, there in numbers]
