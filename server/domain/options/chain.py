"""The options of one expiry as columns by strike."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.options.arrays import FloatArray


@dataclass(frozen=True, kw_only=True)
class ChainSide:
    """All calls or all puts, by strike; NaN is absent.

    `price` in rupees, `open_interest` and `volume` (of the day) in one unit for the whole chain, `volatility` a
    fraction a year, `delta` with its sign.
    """

    price: FloatArray
    open_interest: FloatArray
    volume: FloatArray
    volatility: FloatArray
    delta: FloatArray


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One expiry: every listed strike, ascending, without repetition, and both sides in that order."""

    strikes: FloatArray
    calls: ChainSide
    puts: ChainSide
