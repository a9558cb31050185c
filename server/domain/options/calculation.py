"""Answers to single questions about options: volatility, price and Greeks in a market as it is, or as it might be."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.domain.options.arrays import BoolArray, FloatArray
from server.domain.options.black76 import Contracts, price
from server.domain.options.conventions import NSE_RATE, Convention
from server.domain.options.greeks import Greeks, greeks
from server.domain.options.implied_volatility import implied_volatility

Refusals = NDArray[np.int8]


class Refusal(IntEnum):
    """Why a question has no answer; `NONE`: it has one."""

    NONE = 0
    TIME_OVER = 1
    TIME_UNKNOWN = 2
    UNDERLYING_PRICE_UNKNOWN = 3
    PRICE_UNKNOWN = 4
    PRICE_NOT_ABOVE_INTRINSIC = 5
    PRICE_NOT_BELOW_LIMIT = 6
    VOLATILITY_UNDETERMINED = 7
    OUT_OF_RANGE = 8


_OF_THE_MARKET: Final = (Refusal.TIME_OVER, Refusal.TIME_UNKNOWN, Refusal.UNDERLYING_PRICE_UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Market:
    """What an option's price is made of, option by option; NaN is absent.

    `spot`, `forward` and `price` in rupees, `years` to expiry, the others fractions a year.
    """

    spot: FloatArray
    forward: FloatArray
    years: FloatArray
    rate: FloatArray
    dividend_yield: FloatArray
    price: FloatArray
    volatility: FloatArray

    @classmethod
    def unknown(cls, count: int) -> Market:
        """Nothing is known of so many options; the columns are new and may be filled."""
        return cls(**{field.name: np.full(count, np.nan) for field in fields(cls)})


@dataclass(frozen=True)
class Answers:
    """Answers in the order of the questions; NaN is absent, and so are volatility, price and Greeks of a refused one.

    `market` is the one that they hold in: spot, forward, rate and yield are complete as far as they can be.
    """

    market: Market
    volatility: FloatArray
    price: FloatArray
    greeks: Greeks
    refusal: Refusals


def answer(convention: Convention, call: BoolArray, strike: FloatArray, now: Market, asked: Market) -> Answers:
    """Values options in the market of now, changed by what is asked; whatever is not asked stays as it is now.

    A volatility that is asked gives the price, a price gives the volatility. Where neither is asked, the price is
    that of now; but where spot, forward, time, rate or yield are asked, the volatility that now's price implies
    stays, and the price follows. So does the yield that now's forward implies, unless a yield is asked. Spot and
    forward move together, unless both are asked. Under `NSE` rate and yield are the convention's whatever is asked.
    """
    count = len(strike)
    if convention is Convention.NSE:
        now = _under_nse(now)
        asked = replace(asked, rate=np.full(count, np.nan), dividend_yield=np.full(count, np.nan))
    with np.errstate(all="ignore"):
        moved = _moved(asked)
        assumed = _changed(now, asked, moved)
        kept = moved & np.isnan(asked.volatility) & np.isnan(asked.price)
        if not kept.any():
            return _solved(convention, call, strike, assumed)
        present = _solved(convention, call, strike, _changed(now, Market.unknown(count), np.zeros(count, np.bool_)))
        assumed = replace(assumed, volatility=np.where(kept, present.volatility, assumed.volatility))
        found = _solved(convention, call, strike, assumed)
    unpriced = kept & (found.refusal == Refusal.PRICE_UNKNOWN)
    earlier = unpriced & ~np.isin(present.refusal, (Refusal.NONE, *_OF_THE_MARKET))
    return replace(found, refusal=np.where(earlier, present.refusal, found.refusal))


def _under_nse(now: Market) -> Market:
    """The exchange knows no forward but that of its own rate."""
    count = len(now.spot)
    spot = _first(now.spot, now.forward * np.exp(-NSE_RATE * now.years))
    forward = np.full(count, np.nan)
    return replace(now, spot=spot, forward=forward, rate=np.full(count, NSE_RATE), dividend_yield=np.zeros(count))


def _moved(asked: Market) -> BoolArray:
    columns = (asked.spot, asked.forward, asked.years, asked.rate, asked.dividend_yield)
    moved: BoolArray = np.logical_or.reduce([~np.isnan(column) for column in columns])
    return moved


def _changed(now: Market, asked: Market, moved: BoolArray) -> Market:
    """The market that is asked for. Its price is absent where it follows from a volatility."""
    rate, years = _first(asked.rate, now.rate), _first(asked.years, now.years)
    dividend_yield = _first(asked.dividend_yield, _implied_yield(now))
    growth = np.exp((rate - dividend_yield) * years)
    before = np.exp((now.rate - now.dividend_yield) * now.years)
    spot = _first(asked.spot, asked.forward / growth, now.spot, now.forward / before)
    forward = _first(asked.forward, np.where(moved, np.nan, now.forward), spot * growth)
    quoted = _first(asked.price, np.where(moved, np.nan, now.price))
    return Market(
        spot=spot,
        forward=forward,
        years=years,
        rate=rate,
        dividend_yield=dividend_yield,
        price=np.where(np.isnan(asked.volatility), quoted, np.nan),
        volatility=asked.volatility,
    )


def _implied_yield(now: Market) -> FloatArray:
    """The yield at which carry makes the forward of the spot; where they do not tell, the yield as it is stated."""
    implied = now.rate - np.log(now.forward / now.spot) / now.years
    return np.where(np.isfinite(implied), implied, now.dividend_yield)


def _solved(convention: Convention, call: BoolArray, strike: FloatArray, market: Market) -> Answers:
    """Price from volatility where there is one, else volatility from price."""
    base = None if convention is Convention.FORWARD else market.spot
    contracts = Contracts.of(
        call=call, strike=strike, underlying=base, forward=market.forward, rate=market.rate, years=market.years
    )
    volatility = _first(market.volatility, implied_volatility(contracts, market.price))
    worth = _first(market.price, price(contracts, volatility))
    figures = greeks(contracts, volatility).values
    refusal = _refusals(contracts, market, volatility, worth, figures)
    refused = refusal != Refusal.NONE
    figures[:, refused] = np.nan
    figures[~np.isfinite(figures)] = np.nan
    return Answers(
        market, np.where(refused, np.nan, volatility), np.where(refused, np.nan, worth), Greeks(figures), refusal
    )


def _refusals(
    contracts: Contracts, market: Market, volatility: FloatArray, worth: FloatArray, figures: FloatArray
) -> Refusals:
    """The first of the reasons that holds, in the order in which they are listed."""
    most = np.where(contracts.call, contracts.forward, contracts.strike) * contracts.discount()
    priced = np.isnan(market.volatility)
    reasons = {
        Refusal.TIME_OVER: market.years <= 0.0,
        Refusal.TIME_UNKNOWN: np.isnan(market.years),
        Refusal.UNDERLYING_PRICE_UNKNOWN: ~(market.forward > 0.0),
        Refusal.PRICE_UNKNOWN: priced & np.isnan(market.price),
        Refusal.PRICE_NOT_ABOVE_INTRINSIC: priced & (market.price <= contracts.intrinsic()),
        Refusal.PRICE_NOT_BELOW_LIMIT: priced & (market.price >= most),
        Refusal.VOLATILITY_UNDETERMINED: np.isnan(volatility),
        Refusal.OUT_OF_RANGE: ~np.isfinite(worth) | ~np.isfinite(figures[0]),
    }
    return np.select(list(reasons.values()), list(reasons), Refusal.NONE).astype(np.int8)


def _first(*columns: FloatArray) -> FloatArray:
    """Of each row the first value that is known."""
    result = columns[0]
    for column in columns[1:]:
        result = np.where(np.isnan(result), column, result)
    return result
