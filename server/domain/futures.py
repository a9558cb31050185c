"""Futures analytics: what price and open interest say together, rolling over, basis, carry and term structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from server.domain.calendar import exchange_date
from server.domain.expiries import earliest_expiry

SIGNAL_THRESHOLD: Final = 0.1
"""Per cent that both moves must exceed before they say anything."""

PRESSURE_DAYS: Final = 5
"""Calendar days before expiry from which open interest is under pressure to roll."""

_DAYS_A_YEAR: Final = 365.0


class PositionSignal(StrEnum):
    """What traders do, by the directions of price and open interest."""

    LONG_BUILDUP = "LONG_BUILDUP"
    SHORT_BUILDUP = "SHORT_BUILDUP"
    LONG_UNWINDING = "LONG_UNWINDING"
    SHORT_COVERING = "SHORT_COVERING"
    NEUTRAL = "NEUTRAL"


class Sentiment(StrEnum):
    """Which way a signal points."""

    BULLISH = "BULLISH"
    BEARISH = "BEARISH"
    NEUTRAL = "NEUTRAL"


def position_signal(
    price_percent: float | None, interest_percent: float | None, threshold: float = SIGNAL_THRESHOLD
) -> PositionSignal | None:
    """The signal of two moves in per cent; NEUTRAL unless both exceed the threshold, None where one is not known."""
    if price_percent is None or interest_percent is None or math.isnan(price_percent + interest_percent):
        return None
    if abs(price_percent) <= threshold or abs(interest_percent) <= threshold:
        return PositionSignal.NEUTRAL
    if interest_percent > 0.0:
        return PositionSignal.LONG_BUILDUP if price_percent > 0.0 else PositionSignal.SHORT_BUILDUP
    return PositionSignal.SHORT_COVERING if price_percent > 0.0 else PositionSignal.LONG_UNWINDING


def signal_strength(price_percent: float | None, interest_percent: float | None) -> float | None:
    """|price %| × |open interest %|: 0.25 % and 2.5 % are 0.625. None where one is not known."""
    if price_percent is None or interest_percent is None or math.isnan(price_percent + interest_percent):
        return None
    return abs(price_percent) * abs(interest_percent)


def sentiment(signal: PositionSignal) -> Sentiment:
    """New longs and covered shorts are bullish, new shorts and unwound longs bearish."""
    if signal in {PositionSignal.LONG_BUILDUP, PositionSignal.SHORT_COVERING}:
        return Sentiment.BULLISH
    if signal is PositionSignal.NEUTRAL:
        return Sentiment.NEUTRAL
    return Sentiment.BEARISH


@dataclass(frozen=True)
class PositionMove:
    """A bar against the one before it of the same contract; None is not known.

    `price_change` is in rupees or points to four decimals, `interest_change` in the unit of the open interest, both
    also in per cent of the value before.
    """

    price_change: float | None
    price_percent: float | None
    interest_change: int | None
    interest_percent: float | None
    signal: PositionSignal | None
    strength: float | None

    @property
    def sentiment(self) -> Sentiment | None:
        """Which way the signal points."""
        return None if self.signal is None else sentiment(self.signal)


NO_MOVE: Final = PositionMove(None, None, None, None, None, None)
"""The move of a bar that has no predecessor."""


def position_move(
    now: tuple[float, int | None], before: tuple[float, int | None] | None, threshold: float = SIGNAL_THRESHOLD
) -> PositionMove:
    """What two bars say, each its close and open interest; `before` is None without one."""
    if before is None:
        return NO_MOVE
    price, interest = _percent(now[0], before[0]), _percent(now[1], before[1])
    return PositionMove(
        price_change=round(now[0] - before[0], 4),
        price_percent=price,
        interest_change=None if now[1] is None or before[1] is None else now[1] - before[1],
        interest_percent=interest,
        signal=position_signal(price, interest, threshold),
        strength=signal_strength(price, interest),
    )


@dataclass(frozen=True)
class FutureQuote:
    """A listed future: price in rupees and open interest in one unit for all of an underlying; None is absent."""

    expiry: date
    price: float | None
    open_interest: float | None
    volume: float | None = None


def in_force(quotes: Sequence[FutureQuote], instant_ns: int) -> tuple[FutureQuote, ...]:
    """The contracts that have not expired at an instant, nearest first. Expired ones never count."""
    first = earliest_expiry(instant_ns)
    return tuple(sorted((quote for quote in quotes if quote.expiry >= first), key=lambda quote: quote.expiry))


@dataclass(frozen=True)
class ExpiryShare:
    """Open interest of one expiry: per cent of the total, and the pressure on it to roll (0 to 100)."""

    expiry: date
    days: int
    open_interest: float
    share: float
    pressure: float


@dataclass(frozen=True)
class Rollover:
    """How far an underlying has rolled. `percent` is what lies beyond the nearest expiry; None is absent.

    `total_open_interest` is None when no contract's is known. `cost` is the price of moving on: next over near, in per
    cent of near. Shares sum to 100.
    """

    expiries: tuple[ExpiryShare, ...]
    total_open_interest: float | None
    percent: float | None
    cost: float | None


def rollover(quotes: Sequence[FutureQuote], instant_ns: int, pressure_days: int = PRESSURE_DAYS) -> Rollover:
    """Rollover of one underlying's futures at an instant (nanoseconds since 1970 UTC).

    A contract without a known open interest counts as none beside others that have one.
    """
    ahead = in_force(quotes, instant_ns)
    today = exchange_date(instant_ns)
    known = any(quote.open_interest is not None for quote in ahead)
    amounts = [quote.open_interest or 0.0 for quote in ahead]
    total = math.fsum(amounts)
    percent = math.fsum(amounts[1:]) / total * 100.0 if total else None
    rows: list[ExpiryShare] = []
    for quote, amount in zip(ahead, amounts, strict=True):
        days, share = (quote.expiry - today).days, amount / total * 100.0 if total else 0.0
        rows.append(ExpiryShare(quote.expiry, days, amount, share, rollover_pressure(share, days, pressure_days)))
    return Rollover(tuple(rows), total if known else None, percent, _cost(ahead))


def rollover_pressure(share: float, days: int, pressure_days: int = PRESSURE_DAYS) -> float:
    """Share of the open interest (per cent) × ((limit − days) / limit)², 0 while there is more time, and after."""
    if not 0 <= days <= pressure_days or pressure_days == 0:
        return 0.0
    return share * ((pressure_days - days) / pressure_days) ** 2


@dataclass(frozen=True)
class Basis:
    """A future against the spot, rupees to four decimals and per cent; above 0 is a premium, below 0 a discount.

    `carry_percent` is the basis in per cent a year, simple, by calendar days: (F/S − 1)·365/days. `carry_rate` is
    ln(F/S)/T, a fraction a year, continuously compounded. Both are None when no time is left.
    """

    absolute: float
    percent: float
    carry_percent: float | None
    carry_rate: float | None


def basis(future: float | None, spot: float | None, days: float) -> Basis | None:
    """The basis of a future that expires in `days` calendar days (fractions allowed); None without both prices."""
    if not future or not spot or future <= 0.0 or spot <= 0.0 or math.isnan(future + spot):
        return None
    ratio = future / spot
    carry = (ratio - 1.0) * _DAYS_A_YEAR / days * 100.0 if days > 0 else None
    rate = math.log(ratio) * _DAYS_A_YEAR / days if days > 0 else None
    return Basis(round(future - spot, 4), (future - spot) / spot * 100.0, carry, rate)


@dataclass(frozen=True)
class TermPoint:
    """One expiry of a term structure: its future against the spot, and against the future before it (None first)."""

    quote: FutureQuote
    days: int
    to_spot: Basis | None
    to_previous: Basis | None


def term_structure(quotes: Sequence[FutureQuote], spot: float | None, instant_ns: int) -> tuple[TermPoint, ...]:
    """Basis and carry of all futures in force, nearest first.

    `to_previous` treats the nearer future as the spot and the days between both expiries as its time.
    """
    ahead = in_force(quotes, instant_ns)
    today = exchange_date(instant_ns)
    points: list[TermPoint] = []
    for number, quote in enumerate(ahead):
        before = ahead[number - 1] if number else None
        step = None if before is None else basis(quote.price, before.price, (quote.expiry - before.expiry).days)
        days = (quote.expiry - today).days
        points.append(TermPoint(quote, days, basis(quote.price, spot, days), step))
    return tuple(points)


def _percent(now: float | None, before: float | None) -> float | None:
    if now is None or before is None or before <= 0:
        return None
    return (now - before) / before * 100.0


def _cost(ahead: Sequence[FutureQuote]) -> float | None:
    if len(ahead) < 2:
        return None
    step = basis(ahead[1].price, ahead[0].price, 0)
    return None if step is None else step.percent
