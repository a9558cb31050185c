"""The futures of an underlying with what is known of their market, now or at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final, Protocol

from server.domain.calendar import MarketCalendar, calendar_of, exchange_date, to_nanoseconds
from server.domain.errors import FailedPrecondition, FieldViolation, NotFound
from server.domain.expiries import earliest_expiry
from server.domain.futures import FutureQuote
from server.domain.instruments import Instrument, InstrumentKind
from server.domain.prices import SCALE
from server.domain.symbols import index_key
from server.market.hub.feed import FeedState
from server.market.hub.quotes import Quote
from server.services.listed_expiries import symbol_of, unknown_underlying
from server.store.instruments import ContractFilter, InstrumentStore
from server.store.newest_bars import NewestBar, NewestBars

_MOST_CONTRACTS: Final = 500
_MAIN_CALENDAR: Final = "NSE"
_END_OF_TIME: Final = to_nanoseconds(datetime(2199, 1, 1, tzinfo=UTC))


class LiveMarket(Protocol):
    """The present market (`server.market.hub.hub.Hub`)."""

    def quote(self, instrument_id: int) -> Quote | None:
        """What is known of an instrument now; None before its first tick."""
        ...

    def market_time(self) -> int:
        """Market time, nanoseconds since 1970 UTC; 0 before the first tick."""
        ...

    def feed_state(self) -> FeedState:
        """What the feed does."""
        ...


@dataclass(frozen=True)
class Sighting:
    """What was last seen of an instrument: its price in rupees or points, made at `time` (nanoseconds).

    `volume` is the day's, open interest is in units, or in contracts when `in_contracts`; None is not known. `live`: it
    comes from the present book.
    """

    price: float
    time: int
    volume: int | None
    open_interest: int | None
    in_contracts: bool = False
    live: bool = False


@dataclass(frozen=True)
class ListedFuture:
    """A contract in force; `seen` is None before anything was."""

    instrument: Instrument
    seen: Sighting | None

    def quote(self, day: date) -> FutureQuote:
        """For the domain. A price of another day than the newest one is left out: it compares with nothing."""
        seen, expiry = self.seen, expiry_of(self.instrument)
        if seen is None:
            return FutureQuote(expiry, None, None)
        price = seen.price if exchange_date(seen.time) == day else None
        return FutureQuote(expiry, price, seen.open_interest, seen.volume)


@dataclass(frozen=True)
class Spot:
    """What the futures are measured against."""

    key: str
    seen: Sighting


@dataclass(frozen=True)
class FuturesView:
    """An underlying's contracts in force at `as_of` (nanoseconds), nearest first, at least one.

    `spot` is None unless it was seen on the day of the newest future's price. `stale`: of the present, the near
    contract's figures are not of a feed that lives; of a time that was asked for, the newest price is of an earlier
    day.
    """

    underlying: str
    as_of: int
    stale: bool
    listed: tuple[ListedFuture, ...]
    spot: Spot | None

    @property
    def quotes(self) -> list[FutureQuote]:
        """The contracts for the domain."""
        day = _newest_day(self.listed, self.as_of)
        return [future.quote(day) for future in self.listed]

    @property
    def spot_price(self) -> float | None:
        """Of the spot, where it is known."""
        return None if self.spot is None else self.spot.seen.price


class FuturesMarket:
    """Answers from the hub's book, and from stored bars where the book has nothing or an earlier time is asked for."""

    def __init__(
        self,
        live: LiveMarket,
        instruments: InstrumentStore,
        bars: NewestBars,
        calendars: Mapping[str, MarketCalendar],
    ) -> None:
        self._live = live
        self._instruments = instruments
        self._bars = bars
        self._calendars = calendars

    async def view(self, underlying: str, as_of: int | None) -> FuturesView:
        """The futures now, or as they were known at `as_of`.

        Of the past, contracts of which nothing was known are left out, unless that is so of all. Raises NotFound
        without one in force, FailedPrecondition (MARKET_TIME_UNKNOWN) when nothing says what time it is.
        """
        name = symbol_of(underlying)
        if as_of is not None:
            return await self._past(name, as_of)
        now = self._now()
        return await self._present(name, now) if now else await self._latest(name)

    async def in_force(self, underlying: str, instant: int | None) -> tuple[Instrument, ...]:
        """The contracts in force at an instant (None: market time, else the newest bar's), nearest first.

        Raises NotFound without one.
        """
        at = instant or self._now()
        if at:
            return await self._contracts(symbol_of(underlying), at)
        view = await self._latest(symbol_of(underlying))
        return tuple(future.instrument for future in view.listed)

    def _now(self) -> int:
        """Market time; when the session or the run is over, the close of that day, whose daily files then count.

        0 before the first tick.
        """
        now = self._live.market_time()
        if not now or self._live.feed_state() is not FeedState.ENDED:
            return now
        sessions = self._calendars[_MAIN_CALENDAR].session_on(exchange_date(now))
        return max([now, *(session.close_ns for session in sessions)])

    async def _present(self, name: str, now: int) -> FuturesView:
        contracts = await self._contracts(name, now)
        underlying = await self._underlying(name)
        seen = await self._seen([*contracts, *underlying], now)
        listed = tuple(ListedFuture(item, seen.get(item.instrument_id)) for item in contracts)
        near = listed[0].seen
        stale = self._live.feed_state() is not FeedState.LIVE or near is None or not near.live
        return FuturesView(name, now, stale, listed, _spot(underlying, seen, listed, now))

    async def _past(self, name: str, as_of: int) -> FuturesView:
        contracts = await self._contracts(name, as_of)
        underlying = await self._underlying(name)
        seen = await self._stored([*contracts, *underlying], as_of)
        return self._view_of_bars(name, as_of, contracts, underlying, seen)

    async def _latest(self, name: str) -> FuturesView:
        """No feed has run: the newest stored bar says what time it is."""
        contracts = await self._contracts(name, None)
        underlying = await self._underlying(name)
        seen = await self._stored(contracts, _END_OF_TIME)
        if not seen:
            raise FailedPrecondition("no tick has come and no bar is stored", reason="MARKET_TIME_UNKNOWN")
        as_of = max(item.time for item in seen.values())
        known = {**await self._stored(underlying, as_of), **seen}
        view = self._view_of_bars(name, as_of, _in_force(contracts, as_of), underlying, known)
        return replace(view, stale=True)

    def _view_of_bars(
        self,
        name: str,
        as_of: int,
        contracts: Sequence[Instrument],
        underlying: Sequence[Instrument],
        seen: Mapping[int, Sighting],
    ) -> FuturesView:
        known = [item for item in contracts if item.instrument_id in seen]
        listed = tuple(ListedFuture(item, seen.get(item.instrument_id)) for item in known or contracts)
        stale = not known or _newest_day(listed, as_of) != exchange_date(as_of)
        return FuturesView(name, as_of, stale, listed, _spot(underlying, seen, listed, as_of))

    async def _contracts(self, name: str, instant: int | None) -> tuple[Instrument, ...]:
        on = None if instant is None else earliest_expiry(instant)
        wanted = ContractFilter(name, kind=InstrumentKind.FUTURE, on=on)
        found = (await self._instruments.derivative_contracts(wanted, _MOST_CONTRACTS)).items
        if not found:
            ever = await self._instruments.derivative_contracts(replace(wanted, on=None), 1)
            raise no_futures(name) if ever.items else unknown_underlying(name)
        return found

    async def _underlying(self, name: str) -> list[Instrument]:
        return await self._instruments.by_keys([index_key(name) or f"NSE:{name}"])

    async def _seen(self, instruments: Sequence[Instrument], now: int) -> dict[int, Sighting]:
        """From the book; what the book lacks from stored bars."""
        numbers = [item.instrument_id for item in instruments]
        quotes = {number: self._live.quote(number) for number in numbers}
        seen = {number: _of_quote(quote) for number, quote in quotes.items() if quote and quote.last_price is not None}
        missing = [item for item in instruments if item.instrument_id not in seen]
        return {**await self._stored(missing, now), **seen}

    async def _stored(self, instruments: Sequence[Instrument], instant: int) -> dict[int, Sighting]:
        by_calendar: dict[str, list[int]] = {}
        for item in instruments:
            by_calendar.setdefault(calendar_of(item.exchange), []).append(item.instrument_id)
        seen: dict[int, Sighting] = {}
        for name, numbers in by_calendar.items():
            found = await self._bars.at(numbers, instant, self._calendars[name])
            seen |= {number: _of_bar(bar) for number, bar in found.items()}
        return seen


def no_futures(underlying: str) -> NotFound:
    """The error for an underlying whose futures are all over, or were not listed yet."""
    return NotFound(
        f"no futures of {underlying} are in force",
        reason="RESOURCE_NOT_FOUND",
        metadata={"resource": "futures", "id": underlying},
        violations=(FieldViolation("underlying", "has no futures in force at that time"),),
    )


def expiry_of(instrument: Instrument) -> date:
    """Expiry of a future. Raises ValueError for what does not expire."""
    if instrument.expiry is None:
        raise ValueError(f"{instrument.key} does not expire")
    return instrument.expiry


def _in_force(contracts: Iterable[Instrument], instant: int) -> tuple[Instrument, ...]:
    first = earliest_expiry(instant)
    return tuple(item for item in contracts if expiry_of(item) >= first)


def _of_quote(quote: Quote) -> Sighting:
    price = (quote.last_price or 0) / SCALE
    return Sighting(price, quote.event_time, quote.volume, quote.open_interest, live=True)


def _of_bar(bar: NewestBar) -> Sighting:
    return Sighting(bar.price, bar.time, bar.day_volume, bar.open_interest, bar.in_contracts)


def _newest_day(listed: Sequence[ListedFuture], as_of: int) -> date:
    """Exchange date of the newest future's price; of `as_of` without one."""
    return exchange_date(max((future.seen.time for future in listed if future.seen), default=as_of))


def _spot(
    underlying: Sequence[Instrument], seen: Mapping[int, Sighting], listed: Sequence[ListedFuture], as_of: int
) -> Spot | None:
    """The spot, unless it was last seen on another day than the futures."""
    for item in underlying:
        own = seen.get(item.instrument_id)
        if own is not None and exchange_date(own.time) == _newest_day(listed, as_of):
            return Spot(item.key, own)
    return None
